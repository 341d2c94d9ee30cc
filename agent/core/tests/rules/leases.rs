//! Work in flight is not broken off before its time.

use std::sync::Arc;
use std::time::Duration;

use agent_core::assignment::Assignment;
use agent_core::event::Event;
use agent_core::lease::Ask;
use agent_core::observed::Status;
use model::lease::LeasePolicy;
use model::spec::TaskSpec;
use model::task::{DesiredState, StopCause};
use model::time::Timestamp;

use crate::world::{A, BEGINNING, Node, assigned, container, now_is, run, spec, stops};

const CAP: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> Timestamp {
    BEGINNING + Duration::from_secs(seconds)
}

fn leasing() -> Assignment {
    let spec = TaskSpec { lease: Some(LeasePolicy { cap: CAP }), ..spec() };
    Assignment { spec: Arc::new(spec), ..run(A) }
}

fn told(cause: StopCause, patience: Option<Timestamp>) -> Assignment {
    Assignment { desired: DesiredState::Stop { cause, patience }, ..leasing() }
}

/// A node with one task that may take leases, and runs.
fn node() -> Node {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [leasing()]));
    node.hears(now_is(container(A, 1, Status::Running)));
    node
}

fn ask(node: &mut Node, ask: Ask) -> bool {
    let step = node.hears(Event::Lease { task: A.parse().unwrap(), ask });
    !stops(&step).is_empty()
}

fn held(node: &Node) -> Option<Timestamp> {
    node.workload.lease(&A.parse().unwrap()).unwrap().until
}

#[test]
fn a_stop_waits_for_the_lease_and_comes_when_it_is_over() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: at(60) });
    assert_eq!(held(&node), Some(at(60)));
    let step = node.hears(assigned(2, [told(StopCause::Update, Some(at(600)))]));
    assert!(stops(&step).is_empty());
    assert!(stops(&node.later(59)).is_empty());
    assert_eq!(stops(&node.later(1)), ["id-of-lab.app.1.1-1"]);
}

#[test]
fn a_lease_that_is_given_back_is_waited_for_no_longer() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: at(60) });
    node.hears(assigned(2, [told(StopCause::Drain, Some(at(600)))]));
    assert!(ask(&mut node, Ask::Release));
}

#[test]
fn who_is_to_stop_gets_no_new_lease_and_keeps_the_one_it_holds() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: at(60) });
    node.hears(assigned(2, [told(StopCause::Update, Some(at(600)))]));
    assert!(!ask(&mut node, Ask::Take { until: at(120) }));
    assert_eq!(held(&node), Some(at(120)));
    assert!(ask(&mut node, Ask::Release));
    ask(&mut node, Ask::Take { until: at(120) });
    assert_eq!(held(&node), None);
}

#[test]
fn a_tombstone_without_patience_waits_for_nothing_whichever_came_first() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: at(60) });
    let step = node.hears(assigned(2, [told(StopCause::Operator, None)]));
    assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"]);
    for cause in [StopCause::Update, StopCause::Duplicate] {
        let mut node = self::node();
        ask(&mut node, Ask::Take { until: at(60) });
        assert!(stops(&node.hears(assigned(2, [told(cause, Some(at(600)))]))).is_empty());
        let step = node.hears(assigned(3, [told(cause, None)]));
        assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"], "{cause:?}");
    }
}

#[test]
fn a_lease_survives_the_agent() {
    let mut node = node();
    let event = Event::Lease { task: A.parse().unwrap(), ask: Ask::Take { until: at(60) } };
    assert!(node.hears(event).must_persist, "it has to be on disk before it is acknowledged");
    node.hears(assigned(2, [told(StopCause::Update, Some(at(600)))]));
    let mut node = node.restarted();
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert!(stops(&step).is_empty());
    assert_eq!(held(&node), Some(at(60)));
}

#[test]
fn no_lease_is_longer_than_the_spec_allows_nor_over_before_it_begins() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: BEGINNING + CAP + Duration::from_secs(3_600) });
    assert_eq!(held(&node), None);
    ask(&mut node, Ask::Take { until: BEGINNING });
    assert_eq!(held(&node), None);
}

#[test]
fn what_does_not_run_has_nothing_in_flight() {
    let mut node = node();
    ask(&mut node, Ask::Take { until: at(600) });
    node.hears(assigned(2, [told(StopCause::Update, Some(at(600)))]));
    node.lists(&[container(A, 1, crate::world::exited(0))]);
    assert!(node.state(A).is_final());
    assert!(node.workload.lease(&A.parse().unwrap()).is_none());
}
