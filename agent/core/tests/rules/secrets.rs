//! Nothing runs without its secrets, and what runs is told of new ones.

use std::sync::Arc;

use agent_core::Step;
use agent_core::action::{Action, Fault, FaultKind, Outcome};
use agent_core::assignment::Assignment;
use agent_core::event::{Event, OrderKind};
use agent_core::observed::Status;
use agent_core::secret::Versions;
use model::secret::{Rotation, SecretFile};
use model::spec::TaskSpec;

use crate::world::{A, Node, assigned, container, done, now_is, run, spec, stops};

fn versions(number: u64) -> Versions {
    Versions::from([("key".parse().unwrap(), number)])
}

/// A task that needs a version of a secret.
fn needy(number: u64, rotation: Rotation) -> Assignment {
    let mut spec = TaskSpec { rotation, ..spec() };
    let (secret, target) = ("key".parse().unwrap(), "/run/secrets/key".to_owned());
    spec.containers[0].secrets.files =
        vec![SecretFile { secret, target, mode: 0o400, owner: (0, 0) }];
    Assignment { spec: Arc::new(spec), secrets: versions(number), ..run(A) }
}

fn there(there: Result<Versions, &str>) -> Event {
    Event::Secrets { task: A.parse().unwrap(), there: there.map_err(str::to_owned) }
}

fn launches(step: &Step) -> usize {
    step.orders.iter().filter(|order| matches!(order.action, Action::Launch(_))).count()
}

fn signals(step: &Step) -> Vec<&str> {
    let signals = step.orders.iter().filter_map(|order| match &order.action {
        Action::Signal { signal, .. } => Some(signal.as_str()),
        _ => None,
    });
    signals.collect()
}

fn note(node: &Node) -> String {
    node.workload.reports()[0].note.clone()
}

fn signal() -> Rotation {
    Rotation::Signal("SIGHUP".to_owned())
}

/// A node with one task that runs with the first version.
fn node(rotation: Rotation) -> Node {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [needy(1, rotation)]));
    assert_eq!(launches(&node.hears(there(Ok(versions(1))))), 1);
    node.hears(now_is(container(A, 1, Status::Running)));
    assert!(node.is_running(A));
    node
}

#[test]
fn a_container_waits_until_its_secret_is_there_and_says_so() {
    let mut node = Node::new();
    node.lists(&[]);
    assert_eq!(launches(&node.hears(assigned(1, [needy(1, Rotation::None)]))), 0);
    assert_eq!(note(&node), "waits for secret key");
    let wanted: Vec<_> = node.workload.secrets_wanted().map(|(_, wanted)| wanted.clone()).collect();
    assert_eq!(wanted, [versions(1)]);
    assert_eq!(launches(&node.hears(there(Err("the coordinator does not answer")))), 0);
    assert_eq!(note(&node), "waits for secret key: the coordinator does not answer");
    assert_eq!(launches(&node.later(600)), 0);
    assert_eq!(launches(&node.hears(there(Ok(versions(1))))), 1);
    assert_eq!(note(&node), "");
}

#[test]
fn an_agent_that_starts_anew_waits_for_what_it_finds_in_memory() {
    let before = node(Rotation::None);
    let mut forgetful = before.restarted();
    let listed = forgetful.lists(&[container(A, 1, Status::Running)]);
    assert!(stops(&listed).is_empty(), "what runs goes on, whatever is in memory");
    let mut bare = before.restarted();
    assert_eq!(launches(&bare.lists(&[])), 0, "the machine was started anew");
    let mut kept = before.restarted();
    kept.hears(there(Ok(versions(1))));
    assert_eq!(launches(&kept.lists(&[])), 1, "and it is made anew where the secret is");
}

#[test]
fn what_runs_is_told_once_of_a_version_that_was_exchanged_under_it() {
    let mut node = node(signal());
    assert!(signals(&node.hears(assigned(2, [needy(2, signal())]))).is_empty(), "too early");
    assert_eq!(node.workload.secrets_told(&A.parse().unwrap()), Some(&versions(1)));
    assert_eq!(signals(&node.hears(there(Ok(versions(2))))), ["SIGHUP"]);
    assert_eq!(node.workload.secrets_told(&A.parse().unwrap()), None, "it does not know yet");
    assert!(signals(&node.hears(done(A, OrderKind::Change, Outcome::Done))).is_empty());
    assert_eq!(node.workload.secrets_told(&A.parse().unwrap()), Some(&versions(2)));
    assert!(signals(&node.later(600)).is_empty());
    assert!(node.is_running(A));
}

#[test]
fn without_a_signal_in_its_spec_nothing_is_told() {
    let mut node = node(Rotation::None);
    node.hears(assigned(2, [needy(2, Rotation::None)]));
    assert!(signals(&node.hears(there(Ok(versions(2))))).is_empty());
}

#[test]
fn a_signal_that_the_engine_refuses_ends_nothing_and_one_that_is_lost_is_sent_again() {
    let mut node = node(signal());
    node.hears(assigned(2, [needy(2, signal())]));
    node.hears(there(Ok(versions(2))));
    let failed = |kind| {
        let message = "no".to_owned();
        done(A, OrderKind::Change, Outcome::Failed(Fault { kind, message }))
    };
    node.hears(failed(FaultKind::Unknown));
    assert_eq!(signals(&node.later(5)), ["SIGHUP"]);
    node.hears(failed(FaultKind::Refused));
    assert!(signals(&node.later(600)).is_empty());
    assert!(node.is_running(A));
    assert_eq!(note(&node), "was not told of a new secret: no");
}
