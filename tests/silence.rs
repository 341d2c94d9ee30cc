//! What a coordinator concludes from silence: little, late, and never from that of everybody.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeMap;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, FleetEvent};
use coordinator_core::view::{self, NodeState};
use model::fleet::{Group, Instance, PoolPolicy, Power, Survey};
use model::task::{DesiredState, StopCause};

use story::{Story, id, machine};

fn counts<const N: usize>(pairs: [(&str, usize); N]) -> BTreeMap<String, usize> {
    pairs.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn after_five_minutes_of_silence_what_can_bear_two_copies_runs_elsewhere() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    story.run("mail/front", 3);
    story.pass(290, &["b", "c"]);
    assert_eq!(story.running(), counts([("a", 1), ("b", 1), ("c", 1)]), "not yet");
    story.pass(20, &["b", "c"]);
    assert_eq!(story.running(), counts([("b", 2), ("c", 1)]));
    assert_eq!(state_of(&story, "a"), NodeState::Unreachable);
}

/// Three tasks on three nodes, of which `a` was silent until its task got a copy elsewhere.
fn given_up() -> Story {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    story.run("mail/front", 3);
    story.pass(310, &["b", "c"]);
    story
}

fn state_of(story: &Story, name: &str) -> NodeState {
    let node = &story.cluster.nodes()[&id(name)];
    view::node_state(&story.cluster, node, story.now)
}

#[test]
fn the_original_stays_when_it_serves_and_its_node_comes_back() {
    let mut story = given_up();
    story.start_all();
    assert_eq!(story.running(), counts([("b", 2), ("c", 1)]));
    // Heard, but not yet heard of its tasks: nothing is concluded.
    story.pass(10, &["a", "b", "c"]);
    assert_eq!(story.running(), counts([("b", 2), ("c", 1)]));
    assert_eq!(state_of(&story, "a"), NodeState::Returning);
    story.report_all("a", true);
    assert_eq!(story.running(), counts([("a", 1), ("b", 1), ("c", 1)]));
    assert_eq!(state_of(&story, "a"), NodeState::Ready);
}

#[test]
fn the_copy_stays_when_only_it_serves() {
    let mut story = given_up();
    story.start_all();
    story.pass(10, &["a", "b", "c"]);
    story.report_all("a", false);
    assert_eq!(story.running(), counts([("b", 2), ("c", 1)]));
    let a = id("a");
    let told: Vec<_> = view::assignments(&story.cluster, &a).map(|task| task.desired).collect();
    assert_eq!(told, [DesiredState::stop(StopCause::Duplicate)]);
}

#[test]
fn while_neither_serves_both_go_on_and_the_node_takes_nothing_new() {
    let mut story = given_up();
    story.pass(10, &["a", "b", "c"]);
    story.report_all("a", false);
    assert_eq!(state_of(&story, "a"), NodeState::Returning);
    story.hear(&[Event::Scale { service: "mail/front".parse().unwrap(), replicas: 6 }]);
    assert_eq!(story.wanted_on("a"), 0);
    // The first that serves has won.
    story.report_all("a", true);
    assert_eq!(state_of(&story, "a"), NodeState::Ready);
    assert_eq!(story.wanted_on("a"), 1);
}

#[test]
fn what_waits_for_a_returning_node_hears_that_nothing_is_missed_there_any_more() {
    let mut story = given_up();
    story.pass(10, &["a", "b", "c"]);
    story.report_all("a", false);
    let probe = story::specs::spec_of(&"ops/probe".parse().unwrap(), 0, 0);
    story.hear(&[Event::Deploy { specs: vec![probe], remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(story.wanted_on("a"), 0, "it is returning");
    story.hear(&[Event::Scale { service: "mail/front".parse().unwrap(), replicas: 0 }]);
    assert_eq!(story.wanted_on("a"), 1);
}

#[test]
fn an_operator_who_removes_a_service_is_the_cause_from_then_on() {
    let mut story = given_up();
    story.start_all();
    story.pass(10, &["a", "b", "c"]);
    story.report_all("a", false);
    story.hear(&[Event::Remove("mail/front".parse().unwrap())]);
    let cause = StopCause::Operator;
    let told = story.cluster.tasks().values().map(|task| task.desired);
    assert_eq!(told.collect::<Vec<_>>(), [DesiredState::stop(cause); 4]);
}

#[test]
fn what_is_replaced_by_a_newer_generation_meanwhile_does_not_come_back() {
    let mut story = given_up();
    let spec = story::specs::spec_of(&"mail/front".parse().unwrap(), 1, 3);
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    story.pass(10, &["a", "b", "c"]);
    story.report_all("a", true);
    let told: Vec<_> =
        view::assignments(&story.cluster, &id("a")).map(|task| task.desired).collect();
    assert!(told.iter().all(|told| matches!(told, DesiredState::Stop { .. })), "{told:?}");
    assert_eq!(state_of(&story, "a"), NodeState::Ready);
}

#[test]
fn what_can_not_bear_two_copies_waits_for_proof() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    // A port of the host; a single one; and a place of the node itself.
    story.run("shop/db", 3);
    story.run("mail/front", 1);
    story.run("ops/probe", 0);
    let before = story.running();
    story.pass(3_600, &["b"]);
    assert_eq!(story.running(), before);
    story.hear(&[Event::Died(id("a")), Event::Died(id("c"))]);
    assert_eq!(story.running().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn when_everybody_is_silent_nothing_is_concluded() {
    let mut story = Story::new(&[("a", "y"), ("b", "z")]);
    story.run("mail/front", 4);
    let before = story.running();
    story.pass(7_200, &[]);
    assert_eq!(story.running(), before);
}

#[test]
fn a_zone_that_is_mostly_silent_is_left_alone_until_enough_of_it_is_back() {
    let mut story =
        Story::new(&[("a", "z"), ("b", "z"), ("c", "z"), ("d", "z"), ("e", "z"), ("f", "y")]);
    story.run("mail/front", 6);
    let before = story.running();
    story.pass(1_200, &["d", "e", "f"]);
    assert_eq!(story.running(), before, "three of five are silent");
    story.pass(30, &["c", "d", "e", "f"]);
    let after = story.running();
    assert_eq!(after.get("a").or(after.get("b")), None, "{after:?}: two of five prove something");
    assert_eq!(after.values().sum::<usize>(), 6);
}

#[test]
fn silent_nodes_are_given_up_one_in_ten_seconds() {
    let silent = ["a", "b", "c", "d"];
    let mut names: Vec<(String, String)> =
        silent.iter().map(|name| ((*name).to_owned(), format!("z-{name}"))).collect();
    let heard: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
    names.extend(heard.iter().map(|name| (name.clone(), "y".to_owned())));
    let nodes: Vec<(&str, &str)> =
        names.iter().map(|(name, zone)| (name.as_str(), zone.as_str())).collect();
    let mut story = Story::new(&nodes);
    story.run("mail/front", 16);
    let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
    story.pass(290, &heard);
    let still = |story: &Story| {
        let running = story.running();
        silent.iter().filter(|name| running.contains_key(**name)).count()
    };
    let mut left = Vec::new();
    for _ in 0..5 {
        left.push(still(&story));
        story.pass(10, &heard);
    }
    assert_eq!(left, [4, 3, 2, 1, 0]);
}

#[test]
fn whoever_takes_over_gives_everybody_a_full_grace() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    story.run("mail/front", 3);
    let before = story.running();
    story.pass(290, &["b", "c"]);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    story.pass(290, &["b", "c"]);
    assert_eq!(story.running(), before);
    story.cluster.forgive(story.now);
    story.pass(290, &["b", "c"]);
    assert_eq!(story.running(), before, "the same after a standstill");
    story.pass(30, &["b", "c"]);
    assert_ne!(story.running(), before);
}

/// F17 of the fault plan: four of five in a zone are silent, and EC2 says that they run; then that they are gone; then nobody is heard.
#[test]
fn f17_a_zone_that_is_silent_is_frozen_until_ec2_says_that_it_is_gone() {
    let names = ["a", "b", "c", "d", "e"];
    let mut nodes: Vec<(&str, &str)> = names.iter().map(|name| (*name, "z")).collect();
    nodes.extend([("f", "y"), ("g", "y")]);
    let mut story = Story::new(&nodes);
    story.run("mail/front", 14);
    let before = story.running();
    let policy = PoolPolicy::default();
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name: "web".to_owned(), policy })]);
    let shown = |powers: Power| {
        let instances = nodes.iter().map(|(name, zone)| {
            let is_silent = *zone == "z" && *name != "e";
            let power = if is_silent { powers } else { Power::Running };
            Instance { power, zone: (*zone).to_owned(), ..machine("web", name, 1) }
        });
        let groups = vec![Group { name: "web".to_owned(), ..Group::default() }];
        let instances = instances.collect();
        let survey = Survey { groups, instances, ..Survey::default() };
        Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))
    };
    story.hear(&[shown(Power::Running)]);
    for _ in 0..6 {
        story.pass(300, &["e", "f", "g"]);
        story.hear(&[shown(Power::Running)]);
    }
    assert_eq!(story.running(), before, "a machine that runs is not gone because it is silent");
    story.hear(&[shown(Power::Terminated)]);
    let after = story.running();
    assert_eq!(after.values().sum::<usize>(), 14, "{after:?}: proof, and all of it runs elsewhere");
    assert!(names.iter().take(4).all(|name| !after.contains_key(*name)), "{after:?}");
    story.pass(3_600, &[]);
    assert_eq!(story.running(), after, "when nobody is heard it is we who are cut off");
}
