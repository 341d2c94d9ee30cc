//! A machine that ends, and a coordinator that can not be asked: nothing is cut off, and nothing ends before it has to.

use std::sync::Arc;
use std::time::Duration;

use agent_core::action::Action;
use agent_core::assignment::Assignment;
use agent_core::event::Event;
use agent_core::lease::Ask;
use agent_core::observed::Status;
use agent_core::outlook::Reach;
use agent_core::{Step, step};
use model::fleet::Outlook;
use model::lease::LeasePolicy;
use model::spec::TaskSpec;
use model::task::{DesiredState, FailureKind, StopCause, TaskState};
use model::time::Timestamp;

use crate::world::{
    A, B, BEGINNING, Node, assigned, container, exited, launches, now_is, run, spec, stop, stops,
};

/// The notice of EC2.
const NOTICE: u64 = 120;
/// What a task of ten seconds' grace is stopped before the end: that, and fifteen.
const EARLY: u64 = 25;

fn at(seconds: u64) -> Timestamp {
    BEGINNING + Duration::from_secs(seconds)
}

fn interrupted(seconds: u64) -> Event {
    Event::Foreseen(Outlook { interrupted_at: Some(at(seconds)), ..Outlook::default() })
}

fn is_over(node: &Node, task: &str) -> bool {
    matches!(node.state(task), TaskState::Failed { kind: FailureKind::Host, .. })
}

/// The graces of what is stopped.
fn graces(step: &Step) -> Vec<u64> {
    let grace = |action: &Action| match action {
        Action::Stop { grace, .. } => Some(grace.as_secs()),
        _ => None,
    };
    step.orders.iter().filter_map(|order| grace(&order.action)).collect()
}

/// A node whose tasks run, since a second.
fn cut_off(tasks: &[&str]) -> Node {
    let mut node = Node::running(tasks);
    node.hears(Event::Reach(Reach::CutOff));
    node
}

#[test]
fn who_is_cut_off_stops_what_runs_at_the_last_moment_that_leaves_it_its_grace() {
    let mut node = cut_off(&[A, B]);
    let step = node.hears(interrupted(NOTICE));
    assert!(stops(&step).is_empty(), "until then it serves");
    let step = node.later(NOTICE - EARLY - 2);
    assert!(stops(&step).is_empty());
    assert_eq!(step.wake_at, Some(at(NOTICE - EARLY)));
    let step = node.later(1);
    assert_eq!(graces(&step), [10, 10]);
    // It has handled the signal: still it is not done with its work, which somebody else may do.
    for task in [A, B] {
        let step = node.hears(now_is(container(task, 1, exited(0))));
        assert!(launches(&step).is_empty());
        assert!(is_over(&node, task), "{:?}", node.state(task));
    }
    // Whoever begins again, or is reached again, leaves it at that.
    let mut node = node.restarted();
    let step = node.lists(&[container(A, 1, exited(0)), container(B, 1, exited(0))]);
    assert!(launches(&step).is_empty());
    let step = node.hears(assigned(2, [run(A), run(B)]));
    assert!(launches(&step).is_empty());
    assert!(is_over(&node, A));
}

#[test]
fn whose_coordinator_is_there_leaves_it_to_that_until_nothing_else_helps() {
    let mut node = Node::running(&[A, B]);
    node.hears(Event::Reach(Reach::Connected));
    node.hears(interrupted(NOTICE));
    assert!(stops(&node.later(NOTICE - EARLY)).is_empty());
    let step = node.hears(assigned(2, [stop(A, StopCause::Drain), run(B)]));
    assert_eq!((stops(&step).len(), graces(&step)), (1, vec![10]));
    node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(node.state(A), TaskState::Completed);
    // Nobody has spoken of this one.
    let step = node.later(EARLY - 15);
    assert_eq!(stops(&step), ["id-of-lab.app.2.2-1"]);
    assert_eq!(graces(&step), [9], "what is left until five seconds before the end");
}

#[test]
fn who_is_reached_again_in_time_does_not_stop_anything() {
    let mut node = cut_off(&[A]);
    node.hears(interrupted(NOTICE));
    node.later(60);
    node.hears(Event::Reach(Reach::Connected));
    assert!(stops(&node.later(NOTICE - EARLY - 60)).is_empty());
    assert!(node.is_running(A));
}

#[test]
fn a_long_grace_is_begun_early_and_capped_when_there_is_no_time_for_it() {
    let patient = |seconds| {
        let mut spec = spec();
        spec.containers[0].stop_grace = Duration::from_secs(seconds);
        Assignment { spec: Arc::new(spec), ..run(A) }
    };
    for (grace, begins, gets) in [(60, NOTICE - 75, 60), (300, 0, NOTICE - 5 - 1)] {
        let mut node = Node::new();
        node.lists(&[]);
        node.hears(assigned(1, [patient(grace)]));
        node.hears(now_is(container(A, 1, Status::Running)));
        node.hears(Event::Reach(Reach::CutOff));
        node.later(1);
        let mut step = node.hears(interrupted(NOTICE));
        if begins > 0 {
            assert!(stops(&step).is_empty());
            step = node.later(begins - 1);
        }
        assert_eq!(graces(&step), [gets], "{grace}");
    }
}

#[test]
fn what_has_not_begun_is_not_begun_and_what_runs_is_kept_up() {
    let mut node = cut_off(&[A]);
    node.hears(interrupted(NOTICE));
    let step = node.hears(assigned(2, [run(A), run(B)]));
    assert!(launches(&step).is_empty(), "it would have to stop at once");
    let step = node.lists(&[container(A, 1, exited(1))]);
    assert_eq!(launches(&step), [(A, 2)], "it can serve for a while yet");
    node.later(NOTICE);
    assert!(is_over(&node, B));
}

#[test]
fn a_lease_is_held_as_long_as_the_machine_can_bear_and_no_new_one_is_given() {
    let leasing = |task| {
        let lease = Some(LeasePolicy { cap: Duration::from_secs(600) });
        Assignment { spec: Arc::new(TaskSpec { lease, ..spec() }), ..run(task) }
    };
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [leasing(A), leasing(B)]));
    node.hears(now_is(container(A, 1, Status::Running)));
    node.hears(now_is(container(B, 1, Status::Running)));
    node.hears(Event::Reach(Reach::CutOff));
    let take = |task: &str, until| Event::Lease {
        task: task.parse().unwrap(),
        ask: Ask::Take { until: at(until) },
    };
    node.hears(take(A, 60));
    node.hears(interrupted(NOTICE));
    node.hears(take(A, 500));
    node.hears(take(B, 60));
    let [held, none] = [A, B].map(|task| node.workload.lease(&task.parse().unwrap()).unwrap());
    assert_eq!((held.until, none.until), (Some(at(500)), None));
    assert!(held.is_stopping && none.is_stopping);
    assert_eq!(held.stops_at, Some(at(NOTICE - EARLY)));
    // A tombstone that waits for a lease waits no longer either.
    let patience = Some(at(600));
    let told = DesiredState::Stop { cause: StopCause::Drain, patience };
    node.hears(assigned(2, [Assignment { desired: told, ..leasing(A) }, leasing(B)]));
    assert!(stops(&node.later(NOTICE - EARLY - 1)).is_empty());
    assert_eq!(stops(&node.later(1)).len(), 2);
}

#[test]
fn a_clock_that_is_wrong_gives_no_more_time_than_there_is() {
    let mut node = cut_off(&[A]);
    node.hears(interrupted(3_600));
    assert_eq!(node.workload.stops_at(), Some(node.now + Duration::from_secs(NOTICE - EARLY)));
    node.later(30);
    node.hears(interrupted(3_600));
    assert_eq!(node.workload.stops_at(), Some(at(1 + NOTICE - EARLY)), "it is not put off");
    let mut node = cut_off(&[A]);
    node.later(1_000);
    assert_eq!(stops(&node.hears(interrupted(NOTICE))).len(), 1, "it may end at any moment");
}

#[test]
fn a_group_that_ends_the_machine_is_waited_for_as_long_as_it_waits() {
    let leaving = Event::Foreseen(Outlook { is_leaving: true, ..Outlook::default() });
    let mut node = Node::running(&[A]);
    node.hears(Event::Reach(Reach::Connected));
    node.hears(leaving.clone());
    assert!(stops(&node.later(3_600)).is_empty(), "the coordinator gives it signs of life");
    node.hears(Event::Reach(Reach::CutOff));
    assert!(stops(&node.later(600 - EARLY - 1)).is_empty());
    let mut found = node.restarted();
    assert_eq!(stops(&node.later(1)).len(), 1);
    // An agent that begins again counts from then on, and from when it is told.
    found.lists(&[container(A, 1, Status::Running)]);
    found.hears(Event::Reach(Reach::CutOff));
    found.hears(leaving);
    assert!(stops(&found.later(600 - EARLY - 1)).is_empty());
    assert_eq!(stops(&found.later(1)).len(), 1);
}

#[test]
fn a_warning_is_no_end() {
    let mut node = cut_off(&[A]);
    let maintained_at = Some(at(30));
    node.hears(Event::Foreseen(Outlook { is_at_risk: true, maintained_at, ..Outlook::default() }));
    let step = node.hears(assigned(2, [run(A), run(B)]));
    assert_eq!(launches(&step), [(B, 1)]);
    assert!(stops(&node.later(86_400)).is_empty());
    assert!(node.is_running(A));
}

#[test]
fn an_end_that_is_called_off_is_none() {
    let mut node = cut_off(&[A]);
    node.hears(interrupted(NOTICE));
    node.hears(Event::Foreseen(Outlook::default()));
    assert!(stops(&node.later(NOTICE)).is_empty());
    assert_eq!(launches(&node.hears(assigned(2, [run(A), run(B)]))), [(B, 1)]);
}

#[test]
fn an_engine_that_can_not_be_asked_is_told_as_soon_as_it_can() {
    let mut node = cut_off(&[A]);
    node.hears(interrupted(NOTICE));
    node.hears(crate::world::engine_down());
    assert!(node.later(NOTICE - EARLY).orders.is_empty());
    assert!(node.is_running(A), "nothing is concluded from silence");
    let step = step(
        &mut node.workload,
        &[crate::world::listed(node.now, &[container(A, 1, Status::Running)])],
        node.now,
    );
    assert_eq!(stops(&step).len(), 1);
}
