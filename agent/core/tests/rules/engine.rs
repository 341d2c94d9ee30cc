//! What the engine says, does not say and never answers: R1, R6, R14 and R20.

use std::sync::Arc;
use std::time::Duration;

use agent_core::action::{Action, FaultKind, Outcome};
use agent_core::assignment::Assignment;
use agent_core::event::OrderKind;
use agent_core::observed::{Container, Status};
use agent_core::workload::Engine;
use model::task::{DesiredState, Health, StopCause, TaskState};
use model::time::Timestamp;

use crate::world::{
    A, B, C, Node, assigned, checked, checked_spec, container, done, engine_down, exited, failed,
    health, launches, listed, now_is, probe_of, removals, run, seen, stop, stops,
};

#[test]
fn r1_an_end_that_no_event_told_of_is_found_by_the_next_list() {
    let mut node = Node::running(&[A]);
    node.later(10);
    let step = node.lists(&[container(A, 1, exited(1))]);
    assert_eq!(launches(&step), [(A, 2)]);
}

#[test]
fn r1_a_container_that_a_list_shows_no_more_is_made_anew() {
    let mut node = Node::running(&[A, B]);
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert_eq!(launches(&step), [(B, 2)]);
}

#[test]
fn r1_a_glance_at_one_container_says_nothing_of_the_others() {
    let mut node = Node::running(&[A, B]);
    let step = node.hears(seen(container(A, 1, exited(1))));
    assert_eq!(launches(&step), [(A, 2)]);
    assert!(node.is_running(B));
}

#[test]
fn r1_a_list_that_was_asked_for_before_the_last_outcome_does_not_count() {
    let mut node = Node::running(&[A]);
    let before_the_launch = node.now - Duration::from_secs(30);
    let step = node.hears(listed(before_the_launch, &[]));
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    assert!(node.is_running(A));
    let step = node.lists(&[]);
    assert_eq!(launches(&step), [(A, 2)], "a list of now counts");
}

#[test]
fn r1_what_was_heard_twice_is_ordered_once() {
    let mut node = Node::running(&[A]);
    let ended = [container(A, 1, exited(1))];
    assert_eq!(launches(&node.lists(&ended)), [(A, 2)]);
    assert!(node.lists(&ended).orders.is_empty());
    assert!(node.hears(seen(container(A, 1, exited(1)))).orders.is_empty());
}

#[test]
fn r6_an_engine_that_can_not_be_asked_changes_nothing() {
    let mut node = Node::running(&[A, B]);
    for _ in 0..10 {
        let step = node.hears(engine_down());
        assert!(step.orders.is_empty(), "{:?}", step.orders);
        assert!(node.later(3600).orders.is_empty());
        assert!(node.is_running(A) && node.is_running(B));
    }
    assert!(matches!(node.workload.engine(), Engine::Down { .. }));
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert_eq!(launches(&step), [(B, 2)], "only a good list tells that one is gone");
}

#[test]
fn r6_an_unknown_outcome_never_fails_a_task() {
    let mut node = Node::running(&[A]);
    node.lists(&[container(A, 1, exited(1))]);
    for _ in 0..50 {
        node.hears(done(A, OrderKind::Change, failed(FaultKind::Unknown)));
        assert_eq!(node.state(A), TaskState::Preparing);
        node.later(120);
    }
    node.hears(now_is(container(A, 2, Status::Running)));
    assert!(node.is_running(A));
}

#[test]
fn r6_a_container_whose_stop_has_an_unknown_outcome_is_not_taken_for_stopped() {
    let mut node = Node::running(&[A]);
    node.hears(assigned(2, [stop(A, StopCause::Operator)]));
    node.hears(done(A, OrderKind::Change, failed(FaultKind::Unknown)));
    assert!(node.is_running(A), "{:?}", node.state(A));
    assert_eq!(stops(&node.later(120)), ["id-of-lab.app.1.1-1"]);
    node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(node.state(A), TaskState::Completed);
}

#[test]
fn r6_a_check_that_could_not_be_made_says_nothing_of_the_container() {
    let mut node = checked();
    let mut step = node.later(5);
    for _ in 0..10 {
        node.hears(done(A, probe_of(&step), failed(FaultKind::Unknown)));
        step = node.later(5);
        assert!(stops(&step).is_empty());
        assert_eq!(health(&node), Health::Healthy);
    }
}

#[test]
fn r14_a_container_is_addressed_by_the_id_that_the_engine_gave_it() {
    let mut node = Node::running(&[A]);
    // Somebody took the name for a container of his own; ours has another name now.
    let renamed =
        Container { name: "somebody-elses".to_owned(), ..container(A, 1, Status::Running) };
    node.lists(&[renamed]);
    let step = node.hears(assigned(2, [stop(A, StopCause::Operator)]));
    assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"]);
    let step = node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(removals(&step), ["id-of-lab.app.1.1-1"]);
}

#[test]
fn r14_a_container_of_the_same_name_with_another_id_is_another_container() {
    let mut node = checked();
    let other = Container { id: "another".to_owned(), ..container(A, 1, Status::Running) };
    node.lists(&[other]);
    assert_eq!(health(&node), Health::Starting, "nobody has checked this one");
    let step = node.hears(assigned(2, [stop(A, StopCause::Operator)]));
    assert_eq!(stops(&step), ["another"]);
}

#[test]
fn r14_a_container_that_was_started_again_has_not_been_checked() {
    let mut node = checked();
    let later = Timestamp::from_millis(node.now.as_millis() + 1);
    let again = Container { started_at: Some(later), ..container(A, 1, Status::Running) };
    node.hears(seen(again));
    assert_eq!(health(&node), Health::Starting);
}

#[test]
fn r14_an_answer_about_an_earlier_run_says_nothing_of_this_one() {
    let mut node = checked();
    let early = probe_of(&node.later(5));
    let later = Timestamp::from_millis(node.now.as_millis() + 1);
    let again = Container { started_at: Some(later), ..container(A, 1, Status::Running) };
    let step = node.hears(seen(again));
    assert_ne!(probe_of(&step), early, "the new run has a check of its own");
    node.hears(done(A, early, Outcome::Done));
    assert_eq!(health(&node), Health::Starting);
    node.hears(done(A, probe_of(&step), Outcome::Done));
    assert_eq!(health(&node), Health::Healthy);
}

#[test]
fn r14_that_a_container_is_gone_says_nothing_of_the_one_in_its_place() {
    let mut node = Node::running(&[A]);
    node.hears(assigned(2, [stop(A, StopCause::Operator)]));
    let other = Container { id: "another".to_owned(), ..container(A, 1, Status::Running) };
    node.lists(&[other]);
    let step = node.hears(done(A, OrderKind::Change, Outcome::Gone));
    assert_eq!(stops(&step), ["another"]);
}

#[test]
fn r20_a_task_whose_action_never_ends_holds_up_no_other() {
    let mut node = Node::new();
    node.lists(&[]);
    assert_eq!(launches(&node.hears(assigned(1, [run(A), run(B)]))), [(A, 1), (B, 1)]);
    // Nothing is ever heard of the first.
    node.hears(now_is(container(B, 1, Status::Running)));
    assert!(node.is_running(B));
    let step = node.later(24 * 3600);
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    let step = node.hears(assigned(2, [run(A), stop(B, StopCause::Operator), run(C)]));
    assert_eq!(stops(&step), ["id-of-lab.app.2.2-1"]);
    assert_eq!(launches(&step), [(C, 1)]);
    node.hears(now_is(container(C, 1, Status::Running)));
    assert!(node.is_running(C));
}

#[test]
fn r20_a_check_that_never_ends_keeps_nobody_from_stopping_the_task() {
    let mut node = checked();
    let step = node.later(5);
    assert!(step.orders.iter().all(|order| matches!(order.action, Action::Probe { .. })));
    assert_eq!(step.orders.len(), 1);
    let desired = DesiredState::stop(StopCause::Operator);
    let tombstone = Assignment { desired, spec: Arc::new(checked_spec()), ..run(A) };
    let step = node.hears(assigned(2, [tombstone]));
    assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"]);
}

#[test]
fn r6_a_container_whose_making_was_never_answered_may_be_there_and_a_stop_waits_until_that_is_known()
 {
    let begun = || {
        let mut node = Node::new();
        node.lists(&[]);
        assert_eq!(launches(&node.hears(assigned(1, [run(A)]))), [(A, 1)]);
        node.hears(done(A, OrderKind::Change, failed(FaultKind::Unknown)));
        node.hears(assigned(2, [stop(A, StopCause::Operator)]));
        assert!(!node.state(A).is_final(), "nobody has looked");
        node
    };
    let mut node = begun();
    node.later(1);
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert_eq!(stops(&step).len(), 1, "it was made");
    let mut node = begun();
    node.later(1);
    node.lists(&[]);
    assert!(!node.state(A).is_final(), "the engine may come to it yet");
    node.later(31);
    node.lists(&[]);
    assert_eq!(node.state(A), TaskState::Completed, "it was not made");
}
