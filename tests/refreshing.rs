//! What operators may ask of a refresh, and what others do to its group meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{
    Event, FleetEvent, PoolRefusal, RefreshEvent, Refusal, Reply, Target,
};
use coordinator_core::view::{drift, refresh_progress};
use coordinator_core::{command, foresee, step};
use model::budget::Amount;
use model::fleet::{Group, HookCall, HookId, Instance, PoolPolicy, Survey, Transition};
use model::id::NodeId;
use model::node::{Availability, DrainCause};
use model::refresh::{Blueprint, RefreshPhase, RefreshPolicy};
use model::rollout::Steering;
use model::time::Timestamp;

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
    story::machine(POOL, name, version)
}

fn shown(group: Group, machines: &[Instance]) -> Event {
    let (groups, instances) = (vec![group], machines.to_vec());
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey { groups, instances, ..Survey::default() })))
}

fn start(target: Target, expect: Option<u64>) -> Event {
    let policy = RefreshPolicy { surge: Amount::Count(1), ..RefreshPolicy::default() };
    let pool = POOL.to_owned();
    let after = Vec::new();
    Event::Fleet(FleetEvent::Refresh(RefreshEvent::Start { pool, target, policy, expect, after }))
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
    let foreign = Group { foreign: Some("instance refresh 1".to_owned()), ..group(2) };
    story.hear(&[shown(foreign, &[machine("a", 1), machine("b", 1)])]);
    let refused = refusal(&mut story, start(to(2), None));
    assert!(matches!(refused, Some(PoolRefusal::Foreign(..))), "{refused:?}");
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

/// Every story begins on Friday, 15 January 2027, at 08:00 in UTC.
fn windows(story: &mut Story, window: &str) {
    let (name, windows) = (POOL.to_owned(), vec![window.parse().unwrap()]);
    story.hear(&[Event::Fleet(FleetEvent::SetWindows { name, windows })]);
}

fn hurry(reason: &str) -> Event {
    let (pool, reason) = (POOL.to_owned(), reason.to_owned());
    Event::Fleet(FleetEvent::Refresh(RefreshEvent::Override { pool, reason }))
}

/// Two old machines and a new one beyond the size of the pool, when the window has closed a minute after the refresh began.
fn closed() -> (Story, Group) {
    let (mut story, told) = surge();
    windows(&mut story, "fri 08:00-08:01 UTC");
    (0..6).for_each(|_| story.pass(10, &["a", "b", "c"]));
    (story, told)
}

#[test]
fn before_its_window_a_refresh_asks_for_nothing() {
    let mut story = fleet();
    windows(&mut story, "fri 08:10-08:20 UTC");
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    let refresh = story.cluster.refreshes_of(POOL).last().unwrap().clone();
    let note = |story: &Story| {
        refresh_progress(&story.cluster, &refresh, story.now).map(|progress| progress.note)
    };
    let told = "waits for the window of pool web: Fri 08:10 UTC, in 10m".to_owned();
    assert_eq!(note(&story), Some(told));
    let asked = |story: &Story| command::commands(&story.cluster, story.now).len();
    assert_eq!(asked(&story), 0);
    (0..59).for_each(|_| story.pass(10, &["a", "b"]));
    story.now = story.now + Duration::from_millis(9_999);
    let done = step(&mut story.cluster, &[], story.now);
    assert_eq!(asked(&story), 0);
    assert_eq!(done.wake_at, Some(story.now + Duration::from_millis(1)), "that is 08:10");
    story.now = story.now + Duration::from_millis(1);
    story.hear(&[]);
    assert!(asked(&story) > 0);
}

#[test]
fn what_was_begun_before_the_window_closed_is_finished_and_nothing_else_is_begun() {
    let (mut story, told) = closed();
    let machines = [machine("a", 1), machine("b", 1), machine("c", 2)];
    story.hear(&[shown(told.clone(), &machines)]);
    assert_eq!(leaving(&story).len(), 1, "the new machine was there");
    let first = leaving(&story);
    for _ in 0..30 {
        story.start_all();
        story.stop_all();
        story.pass(10, &["a", "b", "c"]);
        story.hear(&[shown(told.clone(), &machines)]);
    }
    assert_eq!(leaving(&story), first);
    let asked = command::commands(&story.cluster, story.now);
    let ends = asked.iter().find_map(|command| match command {
        command::Command::Terminate { instance, keep, .. } => Some((instance.clone(), *keep)),
        _ => None,
    });
    assert_eq!(ends, Some((first[0].clone(), 2)), "no other comes in its place");
}

#[test]
fn what_is_urgent_waits_for_no_window() {
    let (mut story, told) = closed();
    let group = Group { desired: 2, ..told };
    story.hear(&[shown(group, &[machine("a", 1), machine("b", 1)])]);
    let grows = |story: &Story| {
        let asked = command::commands(&story.cluster, story.now);
        asked.iter().any(|one| matches!(one, command::Command::SetDesired { to: 3, .. }))
    };
    assert!(!grows(&story));
    let refused = refusal(&mut story, hurry(" "));
    assert!(matches!(refused, Some(PoolRefusal::Policy(_))), "{refused:?}");
    story.hear(&[hurry("a hole in the kernel")]);
    assert!(grows(&story));
    let refused = refusal(&mut fleet(), hurry("there is none"));
    assert!(matches!(refused, Some(PoolRefusal::NotRefreshing(_))), "{refused:?}");
}

#[test]
fn what_leads_back_waits_for_no_window() {
    let (mut story, told) = closed();
    let machines = [machine("a", 1), machine("b", 1), machine("c", 2)];
    let roll_back = RefreshEvent::RollBack { pool: POOL.to_owned() };
    story.hear(&[Event::Fleet(FleetEvent::Refresh(roll_back))]);
    let back = Group { blueprint: Some(blueprint(1)), ..told };
    story.hear(&[shown(back, &machines)]);
    assert_eq!(leaving(&story), [id("c")]);
}

#[test]
fn a_plan_counts_the_wait_for_a_window() {
    let mut story = fleet();
    let (target, policy) = (Target::Blueprint(blueprint(2)), RefreshPolicy::default());
    let took = |story: &Story, policy: &RefreshPolicy| {
        let plan = foresee::refresh(&story.cluster, (POOL, &target), policy, story.now);
        let plan = plan.unwrap();
        assert!(plan.blockers.iter().all(|one| !one.contains("for ever")), "{plan:?}");
        plan.duration
    };
    let at_once = took(&story, &policy);
    windows(&mut story, "fri 10:00-12:00 UTC");
    let waits = took(&story, &policy);
    assert!(waits >= at_once + Duration::from_secs(7_190), "{waits:?} and {at_once:?}");
    assert!(waits <= at_once + Duration::from_secs(7_210), "{waits:?} and {at_once:?}");
    let urgent = RefreshPolicy { urgent: Some("a hole".to_owned()), ..policy };
    assert_eq!(took(&story, &urgent), at_once);
}

fn freeze(why: &str, until: Option<Timestamp>) -> Event {
    let why = why.to_owned();
    Event::Fleet(FleetEvent::Refresh(RefreshEvent::Freeze { why, until }))
}

#[test]
fn what_is_frozen_begins_with_nothing_until_the_time_is_over_to_the_millisecond() {
    let mut story = fleet();
    let until = story.now + Duration::from_secs(100);
    story.hear(&[freeze("a sale", Some(until))]);
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    let asked = |story: &Story| command::commands(&story.cluster, story.now).len();
    (0..9).for_each(|_| story.pass(10, &["a", "b"]));
    story.now = story.now + Duration::from_millis(9_999);
    let done = step(&mut story.cluster, &[], story.now);
    assert_eq!((asked(&story), done.wake_at), (0, Some(until)));
    story.now = until;
    story.hear(&[]);
    assert!(asked(&story) > 0);
    assert_eq!(story.cluster.freeze(), None);
}

#[test]
fn a_freeze_that_is_over_already_is_refused_and_the_one_before_it_stays() {
    let mut story = fleet();
    story.hear(&[freeze("a sale", None)]);
    let now = story.now;
    let refused = refusal(&mut story, freeze("another", Some(now)));
    assert_eq!(refused, Some(PoolRefusal::FreezeOver(now)));
    assert_eq!(story.cluster.freeze().unwrap().why, "a sale");
}

#[test]
fn a_plan_says_that_nothing_is_replaced_while_everything_is_frozen() {
    let mut story = fleet();
    story.hear(&[freeze("an incident", None)]);
    let (target, policy) = (Target::Blueprint(blueprint(2)), RefreshPolicy::default());
    let plan = foresee::refresh(&story.cluster, (POOL, &target), &policy, story.now).unwrap();
    let told = "it would wait for ever: it waits until refreshes are unfrozen (an incident)";
    assert!(plan.blockers.iter().any(|one| one == told), "{:?}", plan.blockers);
    let urgent = RefreshPolicy { urgent: Some("a hole".to_owned()), ..policy };
    let plan = foresee::refresh(&story.cluster, (POOL, &target), &urgent, story.now).unwrap();
    assert_eq!(plan.blockers, Vec::<String>::new());
}

/// How many machines of how many are ready and current, generation by generation.
fn kinds(story: &Story) -> Vec<(usize, usize, bool)> {
    let drift = drift(&story.cluster, Some(POOL), story.now).pop().unwrap();
    let kinds = drift.generations.iter().map(|one| (one.ready, one.machines, one.is_current));
    kinds.collect()
}

#[test]
fn what_is_older_than_what_its_group_launches_is_told_with_the_reason() {
    let mut story = fleet();
    assert_eq!(kinds(&story), [(2, 2, true)]);
    assert_eq!(drift(&story.cluster, None, story.now)[0].notes, Vec::<String>::new());
    // Somebody has the group launch another version, and nobody has replaced the machines.
    let newer = Group { blueprint: Some(blueprint(2)), ..group(3) };
    let machines = [machine("a", 1), machine("b", 1), machine("c", 2)];
    story.hear(&[shown(newer, &machines)]);
    assert_eq!(kinds(&story), [(2, 2, false), (0, 1, true)]);
    let told = drift(&story.cluster, None, story.now).pop().unwrap();
    assert!(told.notes[0].starts_with("2 were launched before"), "{:?}", told.notes);
    assert_eq!(told.left, None);
    assert!(drift(&story.cluster, Some("another"), story.now).is_empty());
}

#[test]
fn how_long_a_refresh_goes_on_is_as_long_as_its_plan_was() {
    let mut story = fleet();
    let (target, policy) = (Target::Blueprint(blueprint(2)), RefreshPolicy::default());
    let policy = RefreshPolicy { surge: Amount::Count(1), ..policy };
    let plan = foresee::refresh(&story.cluster, (POOL, &target), &policy, story.now).unwrap();
    story.hear(&[start(target, None)]);
    let told = drift(&story.cluster, Some(POOL), story.now).pop().unwrap();
    assert!(told.notes[0].starts_with("refresh web:1: "), "{:?}", told.notes);
    let left = told.left.unwrap();
    let apart = left.abs_diff(plan.duration);
    assert!(apart <= Duration::from_secs(5), "{left:?} and {:?}", plan.duration);
    // One that stands still is over nobody knows when.
    story.hear(&[steer(Steering::Pause)]);
    assert_eq!(drift(&story.cluster, Some(POOL), story.now)[0].left, None);
}

#[test]
fn nothing_is_launched_for_a_machine_that_others_end_while_everything_is_frozen() {
    let mut story = fleet();
    story.hear(&[start(Target::Blueprint(blueprint(2)), None)]);
    let told = Group { blueprint: Some(blueprint(2)), ..group(2) };
    let machines = [machine("a", 1), machine("b", 1)];
    story.hear(&[freeze("a sale", None), shown(told.clone(), &machines)]);
    let hook = HookId { instance: id("a"), transition: Transition::Terminating };
    let call = HookCall { id: hook, pool: POOL.to_owned(), token: Some("t".to_owned()) };
    story.hear(&[Event::Fleet(FleetEvent::Hooked(call))]);
    // What the cloud shows lags behind.
    story.hear(&[shown(told, &machines)]);
    story.pass(2, &["a", "b"]);
    let asked = command::commands(&story.cluster, story.now);
    let grows = asked.iter().any(|one| matches!(one, command::Command::SetDesired { .. }));
    assert!(!grows, "{asked:?}");
}

#[test]
fn what_was_waited_for_and_is_through_is_nothing_to_a_refresh_any_more() {
    let mut story = fleet();
    let (name, policy) = ("canary".to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
    let canary = |version| Group {
        name: "canary".to_owned(),
        suspended: BTreeSet::from(["AZRebalance".to_owned()]),
        blueprint: Some(blueprint(version)),
        ..group(0)
    };
    let look = |story: &mut Story, version| {
        let groups = vec![group(2), canary(version)];
        let instances = vec![machine("a", 1), machine("b", 1)];
        let survey = Survey { groups, instances, ..Survey::default() };
        story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    };
    look(&mut story, 1);
    let begin = |story: &mut Story, pool: &str, after: &[&str]| {
        let event = RefreshEvent::Start {
            pool: pool.to_owned(),
            target: Target::Blueprint(blueprint(2)),
            policy: RefreshPolicy { hold: Duration::ZERO, ..RefreshPolicy::default() },
            expect: None,
            after: after.iter().map(|one| (*one).to_owned()).collect(),
        };
        story.hear(&[Event::Fleet(FleetEvent::Refresh(event))]);
    };
    begin(&mut story, "canary", &[]);
    begin(&mut story, POOL, &["canary"]);
    let waits = |story: &Story| story.cluster.refreshes_of(POOL).last().unwrap().after.len();
    assert_eq!(waits(&story), 1);
    for _ in 0..12 {
        look(&mut story, 2);
        story.pass(10, &["a", "b"]);
    }
    assert!(story.cluster.refreshes_of("canary").last().unwrap().is_through());
    assert_eq!(waits(&story), 0, "it may be forgotten, and this one goes on");
    assert!(!story.cluster.refreshes_of(POOL).last().unwrap().is_done());
}

#[test]
fn what_others_have_begun_is_cancelled_before_anything_else_is_done() {
    let mut story = fleet();
    let machines = [machine("a", 1), machine("b", 1)];
    let foreign = || Group { foreign: Some("instance refresh 1".to_owned()), ..group(2) };
    story.hear(&[shown(foreign(), &machines)]);
    let policy = RefreshPolicy { takes_over: true, ..RefreshPolicy::default() };
    let start = RefreshEvent::Start {
        pool: POOL.to_owned(),
        target: Target::Blueprint(blueprint(2)),
        policy,
        expect: None,
        after: Vec::new(),
    };
    story.hear(&[Event::Fleet(FleetEvent::Refresh(start))]);
    story.hear(&[shown(foreign(), &machines)]);
    let cancel = command::Command::CancelRefresh { pool: POOL.to_owned() };
    assert_eq!(command::commands(&story.cluster, story.now), [cancel]);
    let refresh = story.cluster.refreshes_of(POOL).last().unwrap();
    let note = refresh_progress(&story.cluster, refresh, story.now).unwrap().note;
    assert!(note.contains("the end of instance refresh 1, which is not ours"), "{note}");
    story.hear(&[shown(group(2), &machines)]);
    let asked = command::commands(&story.cluster, story.now);
    let begins = |one: &command::Command| matches!(one, command::Command::SetTemplate { .. });
    assert!(asked.iter().any(begins), "{asked:?}");
    // Another one later is cancelled too, and no machine is begun with meanwhile.
    let told = Group { blueprint: Some(blueprint(2)), ..foreign() };
    story.hear(&[shown(told, &machines)]);
    story.pass(20, &["a", "b"]);
    let asked = command::commands(&story.cluster, story.now);
    let cancels = |one: &command::Command| matches!(one, command::Command::CancelRefresh { .. });
    assert!(asked.iter().any(cancels), "{asked:?}");
    let grows = |one: &command::Command| matches!(one, command::Command::SetDesired { .. });
    assert!(!asked.iter().any(grows), "{asked:?}");
}
