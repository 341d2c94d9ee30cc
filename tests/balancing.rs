//! What a coordinator makes of what load balancers show.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::time::Duration;

use coordinator_core::command::{self, Command};
use coordinator_core::event::{Event, FleetEvent, Report, TrafficEvent};
use coordinator_core::view;
use model::fleet::PoolPolicy;
use model::id::TaskId;
use model::spec::{Network, ServiceSpec};
use model::task::{ContainerStatus, Health, PublishedPort, Task, TaskState};
use model::traffic::{
    Look, RegistrationPhase, Shown, Target, TargetGroup, TargetHealth, Traffic, Unseen,
};

use story::{Story, id, specs};

fn group() -> TargetGroup {
    "web".parse().unwrap()
}

/// A service of so many tasks behind one target group; each has a port that the node chose.
fn spec(replicas: u32) -> ServiceSpec {
    let mut spec = specs::balanced_spec_of(&"shop/web".parse().unwrap(), 1, replicas);
    (spec.after, spec.update.trial) = (Vec::new(), None);
    spec
}

fn deploy(story: &mut Story, spec: ServiceSpec) {
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

/// The task runs, and its agent has said where its port is.
fn runs_at(story: &mut Story, task: &Task, port: u16) {
    let container = ContainerStatus {
        name: "web".parse().unwrap(),
        container_id: "c1".to_owned(),
        attempt: 1,
        started_at: None,
        exit: None,
        health: Health::Healthy,
        ports: vec![PublishedPort {
            container: 80,
            host: port,
            protocol: model::spec::Protocol::Tcp,
        }],
    };
    let report = Report {
        task: task.id.clone(),
        state: TaskState::Running { since: story.now, health: Health::Healthy },
        restarts: 0,
        note: String::new(),
        containers: vec![container],
        lease: None,
    };
    let node = task.node.clone().unwrap();
    story.hear(&[Event::Reported { node, tasks: vec![report], is_complete: false }]);
}

fn tasks(story: &Story) -> Vec<Task> {
    story.cluster.tasks().values().map(|task| (**task).clone()).collect()
}

fn looked(shown: Result<Shown, Unseen>) -> Event {
    Event::Traffic(TrafficEvent::Looked(vec![Look { group: group(), shown }]))
}

fn shows(targets: &[(&str, u16, TargetHealth)]) -> Event {
    let target = |(name, port, health): &(&str, u16, TargetHealth)| {
        (Target { node: id(name), port: *port }, health.clone())
    };
    let targets = targets.iter().map(target).collect();
    looked(Ok(Shown { delay: Duration::from_secs(30), targets }))
}

/// What the target group is to be told.
fn orders(story: &Story) -> Vec<(RegistrationPhase, Vec<Target>)> {
    let order = |command| match command {
        Command::Balance { phase, targets, .. } => Some((phase, targets)),
        _ => None,
    };
    command::commands(&story.cluster, story.now).into_iter().filter_map(order).collect()
}

/// It is told all of that.
fn tell(story: &mut Story) {
    for (phase, targets) in orders(story) {
        let told = TrafficEvent::Told { group: group(), phase, targets, failure: None };
        story.hear(&[Event::Traffic(told)]);
    }
}

fn traffic(story: &Story, task: &TaskId) -> Traffic {
    story.cluster.tasks().get(task).unwrap().traffic
}

/// One task on one node, which gets requests at this port.
fn serving(port: u16) -> (Story, Task) {
    let mut story = Story::new(&[("a", "z")]);
    deploy(&mut story, spec(1));
    let task = tasks(&story).remove(0);
    runs_at(&mut story, &task, port);
    story.hear(&[shows(&[])]);
    tell(&mut story);
    story.hear(&[shows(&[("a", port, TargetHealth::Healthy)])]);
    assert!(matches!(traffic(&story, &task.id), Traffic::In { .. }));
    (story, task)
}

#[test]
fn what_was_shown_before_a_target_was_put_in_says_nothing_of_it() {
    let mut story = Story::new(&[("a", "z")]);
    deploy(&mut story, spec(1));
    let task = tasks(&story).remove(0);
    runs_at(&mut story, &task, 4_000);
    assert!(orders(&story).is_empty(), "nobody has looked whether there is such a group");
    // Somebody else had the port, and is still shown.
    story.hear(&[shows(&[("a", 4_000, TargetHealth::Healthy)])]);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    tell(&mut story);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    story.hear(&[shows(&[("a", 4_000, TargetHealth::Initial)])]);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    story.hear(&[shows(&[("a", 4_000, TargetHealth::Healthy)])]);
    assert!(matches!(traffic(&story, &task.id), Traffic::In { .. }));
    assert!(orders(&story).is_empty());
}

#[test]
fn a_container_that_is_started_again_is_registered_with_its_new_port_and_the_old_one_leaves() {
    let (mut story, task) = serving(4_000);
    story.pass(10, &["a"]);
    runs_at(&mut story, &task, 4_001);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    let target = |port| vec![Target { node: id("a"), port }];
    let told: Vec<_> = orders(&story);
    assert!(told.contains(&(RegistrationPhase::Entering, target(4_001))), "{told:?}");
    assert!(told.contains(&(RegistrationPhase::Leaving, target(4_000))), "{told:?}");
}

#[test]
fn a_load_balancer_that_can_not_be_seen_is_no_reason_to_doubt_what_serves() {
    let (mut story, task) = serving(4_000);
    let unseen = Unseen { why: "throttled".to_owned(), is_gone: false };
    story.hear(&[looked(Err(unseen))]);
    story.pass(600, &["a"]);
    assert!(matches!(traffic(&story, &task.id), Traffic::In { .. }));
}

#[test]
fn what_somebody_else_has_taken_out_is_put_in_again() {
    let (mut story, task) = serving(4_000);
    story.hear(&[shows(&[])]);
    assert!(matches!(traffic(&story, &task.id), Traffic::In { .. }), "it may not show yet");
    story.pass(20, &["a"]);
    story.hear(&[shows(&[])]);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    let target = Target { node: id("a"), port: 4_000 };
    assert_eq!(orders(&story), [(RegistrationPhase::Entering, vec![target])]);
}

#[test]
fn what_others_have_registered_is_left_alone() {
    let (mut story, task) = serving(4_000);
    let others = ("a", 22, TargetHealth::Healthy);
    story.hear(&[shows(&[("a", 4_000, TargetHealth::Healthy), others.clone()])]);
    story.hear(&[Event::Remove("shop/web".parse().unwrap())]);
    let leaving: Vec<_> = orders(&story);
    let target = Target { node: id("a"), port: 4_000 };
    assert_eq!(leaving, [(RegistrationPhase::Leaving, vec![target])]);
    assert!(matches!(traffic(&story, &task.id), Traffic::Leaving { .. }));
    tell(&mut story);
    story.pass(20, &["a"]);
    story.hear(&[shows(&[others])]);
    assert_eq!(traffic(&story, &task.id), Traffic::Out, "it has left");
    assert!(story.cluster.registrations().is_empty());
    assert!(orders(&story).is_empty());
}

#[test]
fn a_target_group_that_is_gone_keeps_nothing() {
    let (mut story, task) = serving(4_000);
    story.hear(&[Event::Remove("shop/web".parse().unwrap())]);
    let gone = Unseen { why: "there is no such target group".to_owned(), is_gone: true };
    story.hear(&[looked(Err(gone))]);
    assert_eq!(traffic(&story, &task.id), Traffic::Out);
    assert!(story.cluster.registrations().is_empty());
}

#[test]
fn a_service_that_stops_too_slowly_for_its_machines_is_doubted() {
    let (mut story, _) = serving(4_000);
    let policy = PoolPolicy { drain_within: Duration::from_secs(60), ..PoolPolicy::default() };
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name: "web".to_owned(), policy })]);
    let mut slow = spec(1);
    slow.task.routes[0].leave_within = None;
    slow.task.containers[0].stop_grace = Duration::from_secs(20);
    let said = view::slow_stops(&story.cluster, &slow);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("45 s to leave its target groups and 20 s of grace"), "{said:?}");
    assert!(said[0].contains("pool web that leaves is waited for 60 s"), "{said:?}");
    slow.task.routes[0].leave_within = Some(Duration::from_secs(40));
    assert!(view::slow_stops(&story.cluster, &slow).is_empty(), "40 s and 20 s are 60 s");
    slow.task.network = Network::Host;
    slow.task.containers[0].stop_grace = Duration::from_secs(21);
    assert_eq!(view::slow_stops(&story.cluster, &slow).len(), 1);
}
