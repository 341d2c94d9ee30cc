//! What operators may ask of a refresh, and what others do to its group meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeMap;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{
    Event, FleetEvent, PoolRefusal, RefreshEvent, Refusal, Reply, Target,
};
use coordinator_core::{command, step};
use model::budget::Amount;
use model::fleet::{Group, Instance, Lifecycle, PoolPolicy, Power, Survey};
use model::id::NodeId;
use model::node::{Availability, DrainCause};
use model::refresh::{Blueprint, RefreshPhase, RefreshPolicy};
use model::rollout::Steering;

use story::{Story, id, node};

const POOL: &str = "web";

fn blueprint(version: u64) -> Blueprint {
    Blueprint(BTreeMap::from([("lt-1".to_owned(), version)]))
}

fn group(desired: u32) -> Group {
    Group {
        name: POOL.to_owned(),
        max: 10,
        desired,
        hooks: command::hooks().to_vec(),
        blueprint: Some(blueprint(1)),
        ..Group::default()
    }
}

fn machine(name: &str, version: u64) -> Instance {
    Instance {
        id: id(name),
        pool: Some(POOL.to_owned()),
        lifecycle: Lifecycle::InService,
        power: Power::Running,
        zone: "z".to_owned(),
        instance_type: None,
        ami: None,
        template_id: Some("lt-1".to_owned()),
        template_version: Some(version.to_string()),
        is_spot: false,
        is_protected: false,
    }
}

fn shown(group: Group, machines: &[Instance]) -> Event {
    let (groups, instances) = (vec![group], machines.to_vec());
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey { groups, instances, ..Survey::default() })))
}

fn start(target: Target, expect: Option<u64>) -> Event {
    let policy = RefreshPolicy { surge: Amount::Count(1), ..RefreshPolicy::default() };
    let pool = POOL.to_owned();
    Event::Fleet(FleetEvent::Refresh(RefreshEvent::Start { pool, target, policy, expect }))
}

fn steer(steering: Steering) -> Event {
    let pool = POOL.to_owned();
    Event::Fleet(FleetEvent::Refresh(RefreshEvent::Steer { pool, steering }))
}

/// Two machines of a pool that are nodes.
fn fleet() -> Story {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    let (name, policy) = (POOL.to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
    story.hear(&[shown(group(2), &[machine("a", 1), machine("b", 1)])]);
    story.report_all("a", true);
    story.report_all("b", true);
    story
}

fn refusal(story: &mut Story, event: Event) -> Option<PoolRefusal> {
    let done = step(&mut story.cluster, &[event], story.now);
    match done.replies.into_iter().next() {
        Some(Reply::Refused(Refusal::Pool(refusal))) => Some(refusal),
        _ => None,
    }
}

fn size(story: &Story) -> u32 {
    story.cluster.refreshes_of(POOL).last().unwrap().size
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut story = fleet();
    let to = |version| Target::Blueprint(blueprint(version));
    let other = Target::Blueprint(Blueprint(BTreeMap::from([("lt-2".to_owned(), 1)])));
    let refused = refusal(&mut story, start(other, None));
    assert!(matches!(refused, Some(PoolRefusal::OtherTemplates(..))), "{refused:?}");
    let refused = refusal(&mut story, start(to(1), None));
    assert!(matches!(refused, Some(PoolRefusal::Fresh(_))), "{refused:?}");
    let refused = refusal(&mut story, start(to(2), Some(7)));
    assert!(matches!(refused, Some(PoolRefusal::Overtaken(_))), "{refused:?}");
    for steering in [Steering::Pause, Steering::Abort, Steering::Promote] {
        let refused = refusal(&mut story, steer(steering));
        assert!(matches!(refused, Some(PoolRefusal::NotRefreshing(_))), "{refused:?}");
    }
    let foreign = Group { is_refreshed: true, ..group(2) };
    story.hear(&[shown(foreign, &[machine("a", 1), machine("b", 1)])]);
    let refused = refusal(&mut story, start(to(2), None));
    assert!(matches!(refused, Some(PoolRefusal::Foreign(_))), "{refused:?}");
    story.hear(&[shown(group(2), &[machine("a", 1), machine("b", 1)])]);
    assert_eq!(refusal(&mut story, start(to(2), None)), None);
    let refused = refusal(&mut story, start(to(3), None));
    assert!(matches!(refused, Some(PoolRefusal::Refreshing(_))), "{refused:?}");
    let gone = Event::Fleet(FleetEvent::RemovePool(POOL.to_owned()));
    let refused = refusal(&mut story, gone);
    assert!(matches!(refused, Some(PoolRefusal::Refreshing(_))), "{refused:?}");
}

#[test]
fn a_change_of_the_groups_size_is_kept_beyond_the_surge_and_not_within_it() {
    let mut story = fleet();
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    let machines = [machine("a", 1), machine("b", 1)];
    story.hear(&[shown(group(3), &machines)]);
    assert_eq!(size(&story), 2, "that is the surge");
    story.hear(&[shown(group(6), &machines)]);
    assert_eq!(size(&story), 5, "somebody wants five, and the surge is one");
    story.hear(&[shown(group(1), &machines)]);
    assert_eq!(size(&story), 1);
}

#[test]
fn new_tasks_go_to_new_machines_once_there_is_one() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let (name, policy) = (POOL.to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
    story.hear(&[shown(group(2), &[machine("a", 1), machine("b", 1)])]);
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    ["a", "b", "c"].iter().for_each(|name| story.report_all(name, true));
    let told = Group { blueprint: Some(blueprint(2)), ..group(3) };
    let machines = [machine("a", 1), machine("b", 1), machine("c", 2)];
    story.hear(&[shown(told, &machines)]);
    assert!(story.cluster.is_fenced(&id("a")) && !story.cluster.is_fenced(&id("c")));
    story.run("mail/front", 3);
    assert_eq!(story.wanted_on("c"), 3);
}

#[test]
fn what_is_left_as_it_is_is_named_when_all_is_over() {
    let mut story = fleet();
    story.run("mail/front", 2);
    let closed = Event::SetAvailability { node: id("a"), availability: Availability::Cordoned };
    story.hear(&[closed]);
    let protected = Instance { is_protected: true, ..machine("b", 1) };
    let told = |suspended: &[&str]| Group {
        blueprint: Some(blueprint(2)),
        suspended: suspended.iter().map(|process| (*process).to_owned()).collect(),
        ..group(2)
    };
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    for _ in 0..120 {
        story.pass(10, &["a", "b"]);
        let last = story.cluster.refreshes_of(POOL).last().unwrap();
        let is_over = matches!(last.phase, RefreshPhase::Restoring { .. });
        let group = told(if is_over { &[] } else { &["AZRebalance"] });
        story.hear(&[shown(group, &[machine("a", 1), protected.clone()])]);
    }
    let last = story.cluster.refreshes_of(POOL).last().unwrap();
    assert!(last.is_done(), "{:?}", last.phase);
    let why: Vec<&str> = last.skipped.values().map(|skip| skip.why.as_str()).collect();
    assert_eq!(
        why,
        ["an operator has closed it, and tasks run there", "it is protected from scale-in"]
    );
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Cordoned);
}

/// Three machines, the third of them new and one more than the pool has, and tasks on each.
fn surge() -> (Story, Group) {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let (name, policy) = (POOL.to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
    story.hear(&[shown(group(2), &[machine("a", 1), machine("b", 1)])]);
    ["a", "b", "c"].iter().for_each(|name| story.report_all(name, true));
    story.run("mail/front", 3);
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    let suspended = ["AZRebalance".to_owned()].into();
    (story, Group { blueprint: Some(blueprint(2)), suspended, ..group(3) })
}

/// The nodes that are emptied, or empty, to be replaced.
fn leaving(story: &Story) -> Vec<NodeId> {
    let nodes = story.cluster.nodes().values();
    let leaving =
        nodes.filter(|node| node.drain.is_some_and(|drain| drain.cause == DrainCause::Refresh));
    leaving.map(|node| node.id.clone()).collect()
}

#[test]
fn an_abort_before_the_cloud_was_looked_at_opens_the_nodes_of_agents_that_do_not_know_their_pool() {
    let (mut story, told) = surge();
    story.hear(&[shown(told, &[machine("a", 1), machine("b", 1), machine("c", 2)])]);
    assert_eq!(leaving(&story).len(), 1);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    for name in ["a", "b", "c"] {
        story.hear(&[Event::Joined(Box::new(node(name, "z")))]);
    }
    story.hear(&[steer(Steering::Abort)]);
    assert!(leaving(&story).is_empty());
    let nodes = story.cluster.nodes();
    assert!(nodes.values().all(|node| node.availability == Availability::Active));
}

#[test]
fn a_machine_that_is_not_too_much_any_more_stays_when_a_refresh_was_aborted() {
    let (mut story, told) = surge();
    let machines = [machine("a", 1), machine("b", 1), machine("c", 2)];
    story.hear(&[shown(told, &machines)]);
    story.hear(&[steer(Steering::Abort)]);
    story.pass(10, &["a", "b", "c"]);
    story.hear(&[shown(group(3), &machines)]);
    story.pass(10, &["a", "b", "c"]);
    assert_eq!(leaving(&story), [id("c")], "it is of the other kind");
    // Another has gone meanwhile, and the group was told that it need not be replaced.
    for _ in 0..30 {
        story.hear(&[shown(group(2), &[machine("b", 1), machine("c", 2)])]);
        story.pass(10, &["b", "c"]);
    }
    assert!(leaving(&story).is_empty(), "{:?}", story.cluster.nodes()[&id("c")].drain);
    assert!(story.cluster.refreshes_of(POOL).last().unwrap().is_done());
}
