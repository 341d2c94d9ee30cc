//! Machines that are silent and run, as far as the cloud says: what has to be known before one is ended, and what is asked then.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::command::{self, Command};
use coordinator_core::event::{Event, FleetEvent, PoolRefusal, Refusal, Reply};
use coordinator_core::{invariant, step, view};
use model::fleet::{Group, Instance, PoolPolicy, Power, Survey, Unreachable};
use model::node::Availability;

use story::{Story, id, machine};

const POOL: &str = "web";
const ALL: [(&str, &str); 4] = [("a", "z"), ("b", "z"), ("c", "z"), ("d", "y")];

fn member(name: &str) -> Instance {
    let (_, zone) = ALL.into_iter().find(|(node, _)| *node == name).unwrap();
    Instance { zone: zone.to_owned(), ..machine(POOL, name, 1) }
}

fn group() -> Group {
    let name = POOL.to_owned();
    Group { name, max: 9, desired: 4, hooks: command::hooks().to_vec(), ..Group::default() }
}

/// A look at the cloud, with this machine as it is.
fn look(a: Instance) -> Event {
    let others = ["b", "c", "d"].map(member);
    let instances = [a].into_iter().chain(others).collect();
    let groups = vec![group()];
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey { groups, instances, ..Survey::default() })))
}

/// Four machines of a pool that ends such as are silent for ten minutes, and `a` has been for longer; nobody has looked since.
fn silent() -> Story {
    let mut story = Story::new(&ALL);
    let unreachable = Unreachable::End;
    let policy = PoolPolicy { unreachable, ..PoolPolicy::default() };
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name: POOL.to_owned(), policy })]);
    story.hear(&[look(member("a"))]);
    story.run("shop/db", 2);
    story.pass(640, &["b", "c", "d"]);
    story
}

fn ends(story: &Story) -> Vec<(String, u32)> {
    let end = |command| match command {
        Command::Terminate { instance, keep, .. } => Some((instance.to_string(), keep)),
        _ => None,
    };
    command::commands(&story.cluster, story.now).into_iter().filter_map(end).collect()
}

fn is_condemned(story: &Story) -> bool {
    story.cluster.is_condemned(&id("a"))
}

/// Condemned, and what a successor would read.
fn condemned() -> Story {
    let mut story = silent();
    story.hear(&[look(member("a"))]);
    story.pass(30, &["b", "c", "d"]);
    story.hear(&[look(member("a"))]);
    story.pass(10, &["b", "c", "d"]);
    assert!(is_condemned(&story));
    story
}

#[test]
fn what_was_seen_once_ends_nothing() {
    let mut story = silent();
    assert!(!is_condemned(&story), "it was not looked at since it is silent");
    story.hear(&[look(member("a"))]);
    story.pass(30, &["b", "c", "d"]);
    assert!(!is_condemned(&story), "that was once");
    let why = view::why_here(&story.cluster, &story.cluster.nodes()[&id("a")], story.now);
    assert!(why[0].contains("EC2 has to say twice that it runs"), "{why:?}");
    story.hear(&[look(member("a"))]);
    story.pass(10, &["b", "c", "d"]);
    assert!(is_condemned(&story));
    assert_eq!(ends(&story), [("a".to_owned(), u32::MAX)], "the group wants no fewer");
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Cordoned);
}

#[test]
fn what_was_seen_in_another_silence_or_long_ago_does_not_count() {
    let mut story = silent();
    story.hear(&[look(member("a"))]);
    story.pass(10, &["a", "b", "c", "d"]);
    story.pass(610, &["b", "c", "d"]);
    story.hear(&[look(member("a"))]);
    story.pass(20, &["b", "c", "d"]);
    assert!(!is_condemned(&story), "one look of this silence");
    let mut story = silent();
    story.hear(&[look(member("a"))]);
    story.pass(10, &["b", "c", "d"]);
    story.hear(&[look(Instance { power: Power::Stopping, ..member("a") })]);
    story.pass(10, &["b", "c", "d"]);
    story.hear(&[look(member("a"))]);
    story.pass(20, &["b", "c", "d"]);
    assert!(!is_condemned(&story), "it did not look like that in between");
}

#[test]
fn a_machine_that_was_taken_out_of_its_group_is_open_again() {
    let mut story = condemned();
    let out = Instance { pool: None, ..member("a") };
    story.hear(&[look(out)]);
    assert!(!is_condemned(&story));
    assert_eq!(ends(&story), []);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Active);
}

#[test]
fn a_pool_is_not_left_to_itself_while_a_machine_of_it_is_to_end() {
    let mut story = condemned();
    let remove = Event::Fleet(FleetEvent::RemovePool(POOL.to_owned()));
    let done = step(&mut story.cluster, std::slice::from_ref(&remove), story.now);
    let refused = PoolRefusal::Ends(POOL.to_owned(), id("a"));
    assert_eq!(done.replies, [Reply::Refused(Refusal::Pool(refused))]);
    story.hear(&[look(Instance { power: Power::Terminated, ..member("a") })]);
    story.hear(&[remove]);
    assert!(story.cluster.pools().is_empty());
}

/// Each prefix of what was decided leads to the same.
#[test]
fn whoever_takes_over_in_between_closes_the_node_and_asks_for_the_same() {
    let mut story = silent();
    story.hear(&[look(member("a"))]);
    story.pass(30, &["b", "c", "d"]);
    story.hear(&[look(member("a"))]);
    let before = story.cluster.clone();
    let done = step(&mut story.cluster, &[], story.now + Duration::from_secs(5));
    assert!(matches!(done.changes[..], [Change::PutPool(_), Change::PutNode(_)]), "{done:?}");
    let mut stored = before.stored();
    stored.extend(done.changes.into_iter().take(1));
    let now = story.now + Duration::from_secs(6);
    let mut next = Cluster::load(&stored, now);
    step(&mut next, &[look(member("a"))], now);
    assert_eq!(invariant::check(&next), Vec::<String>::new());
    assert_eq!(next.nodes()[&id("a")].availability, Availability::Cordoned);
    let asked = command::commands(&next, now);
    let is_end = |command: &&Command| matches!(command, Command::Terminate { .. });
    let ends: Vec<&Command> = asked.iter().filter(is_end).collect();
    assert_eq!(ends.len(), 1, "{asked:?}");
    // Nobody has heard anything of it since: what runs there is not begun elsewhere.
    assert!(next.nodes()[&id("a")].drain.is_none());
}
