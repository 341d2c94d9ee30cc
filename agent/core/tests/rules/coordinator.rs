//! What the coordinator says and does not say: R2 and R3.

use agent_core::observed::Status;
use model::task::StopCause;

use crate::world::{
    A, B, Node, assigned, assigned_at, container, exited, launches, run, stop, stops,
};

/// The names of so many tasks.
fn names(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("lab.app.{number}.{number}")).collect()
}

fn as_texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn r2_a_lower_fence_is_refused_whichever_part_of_it_is_lower() {
    for lower in [(2, 5, 6), (2, 4, 99), (1, 99, 99)] {
        let mut node = Node::running(&[A]);
        node.hears(assigned_at((2, 5, 7), [run(A)]));
        let step = node.hears(assigned_at(lower, [stop(A, StopCause::Operator), run(B)]));
        assert!(step.orders.is_empty(), "{lower:?} was obeyed: {:?}", step.orders);
        assert!(node.is_running(A));
    }
}

#[test]
fn r2_an_equal_or_higher_fence_is_obeyed() {
    for newer in [(2, 5, 7), (2, 5, 8), (2, 6, 1), (3, 1, 1)] {
        let mut node = Node::running(&[A]);
        node.hears(assigned_at((2, 5, 7), [run(A)]));
        let step = node.hears(assigned_at(newer, [stop(A, StopCause::Operator)]));
        assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"], "{newer:?}");
    }
}

#[test]
fn r2_a_restart_of_the_agent_does_not_forget_who_spoke_last() {
    let mut node = Node::running(&[A]);
    let step = node.hears(assigned_at((2, 5, 7), [run(A)]));
    assert!(step.must_persist, "the fence has to be on disk before it is obeyed");
    let mut node = node.restarted();
    node.lists(&[container(A, 1, Status::Running)]);
    let step = node.hears(assigned_at((2, 5, 6), [stop(A, StopCause::Operator)]));
    assert!(step.orders.is_empty(), "{:?}", step.orders);
}

#[test]
fn r3_a_task_of_which_nobody_speaks_any_more_goes_on() {
    let mut node = Node::running(&[A, B]);
    let step = node.hears(assigned(2, []));
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    let step = node.later(24 * 3600);
    assert!(step.orders.is_empty(), "absence became an order: {:?}", step.orders);
    assert!(node.is_running(A) && node.is_running(B));
    assert_eq!(node.workload.orphans().len(), 2, "the coordinator is asked");
    // It is looked after all the same.
    let step = node.lists(&[container(A, 1, exited(1)), container(B, 1, Status::Running)]);
    assert_eq!(launches(&step), [(A, 2)]);
}

#[test]
fn r3_a_sudden_mass_of_tombstones_is_let_through_a_third_a_minute() {
    for cause in [StopCause::Duplicate, StopCause::Ended, StopCause::NodeDead] {
        let names = names(10);
        let mut node = Node::running(&as_texts(&names));
        let all = |revision| assigned(revision, names.iter().map(|name| stop(name, cause)));
        assert_eq!(stops(&node.hears(all(2))).len(), 3, "{cause:?}");
        assert_eq!(stops(&node.hears(all(3))).len(), 0, "said again is not said anew");
        for expected in [3, 3, 1, 0] {
            assert_eq!(stops(&node.later(60)).len(), expected, "{cause:?}");
        }
    }
}

#[test]
fn r3_the_brake_holds_for_an_agent_that_does_not_know_yet_what_lives() {
    let names = names(10);
    let there: Vec<_> = names.iter().map(|name| container(name, 1, Status::Running)).collect();
    let all = || assigned(2, names.iter().map(|name| stop(name, StopCause::Duplicate)));
    // It has its journal and no list; it has lost its journal; it was restarted after the brake had set in.
    let mut begun = Node::running(&as_texts(&names)).restarted();
    begun.hears(all());
    let mut lost = Node::new();
    lost.hears(all());
    let mut braked = Node::running(&as_texts(&names));
    braked.hears(all());
    for mut node in [begun, lost, braked.restarted()] {
        assert_eq!(stops(&node.lists(&there)).len(), 3);
        assert_eq!(stops(&node.later(60)).len(), 3);
    }
}

#[test]
fn r3_what_a_person_asked_for_is_done_at_once() {
    for cause in [StopCause::Operator, StopCause::Drain, StopCause::Update] {
        let names = names(10);
        let mut node = Node::running(&as_texts(&names));
        let step = node.hears(assigned(2, names.iter().map(|name| stop(name, cause))));
        assert_eq!(stops(&step).len(), 10, "{cause:?}");
    }
}

#[test]
fn r3_a_person_who_has_looked_lifts_the_brake() {
    let names = names(10);
    let mut node = Node::running(&as_texts(&names));
    let all = |revision, cause| assigned(revision, names.iter().map(move |name| stop(name, cause)));
    assert_eq!(stops(&node.hears(all(2, StopCause::Duplicate))).len(), 3);
    assert_eq!(stops(&node.hears(all(3, StopCause::Operator))).len(), 7);
}

#[test]
fn r3_a_single_tombstone_is_never_held_back() {
    let mut node = Node::running(&[A, B]);
    let step = node.hears(assigned(2, [stop(A, StopCause::Duplicate), run(B)]));
    assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"]);
}
