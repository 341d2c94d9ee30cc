//! What an earlier agent has left on disk and on the engine: R4, R12 and R15.

use std::sync::Arc;

use agent_core::action::{FaultKind, Outcome};
use agent_core::assignment::Assignment;
use agent_core::event::{Event, OrderKind};
use agent_core::observed::{Container, Status};
use model::task::{StopCause, TaskState};

use crate::world::{
    A, B, Node, assigned, assigned_at, container, done, exited, failed, launches, now_is,
    only_launch, prepared_spec, removals, run, stop, stops,
};

#[test]
fn r4_a_launch_that_may_have_worked_is_tried_again_under_the_same_name() {
    let mut node = Node::new();
    node.lists(&[]);
    let step = node.hears(assigned(1, [run(A)]));
    assert!(step.must_persist, "the attempt has to be on disk before the engine hears of it");
    let first = only_launch(&step).clone();
    for _ in 0..20 {
        let step = node.hears(done(A, OrderKind::Change, failed(FaultKind::Unknown)));
        assert!(step.orders.is_empty(), "a fault is waited for: {:?}", step.orders);
        let step = node.later(120);
        assert_eq!(*only_launch(&step), first);
    }
    assert_eq!(node.attempt(A), 1);
}

#[test]
fn r4_a_container_that_was_made_and_not_started_is_launched_under_its_own_name() {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [run(A)]));
    // The agent ends after the container was made and before it was started.
    let mut node = node.restarted();
    let step = node.lists(&[container(A, 1, Status::Created)]);
    assert_eq!(launches(&step), [(A, 1)]);
}

#[test]
fn r4_every_further_container_of_a_task_has_a_name_of_its_own() {
    let mut node = Node::running(&[A]);
    for attempt in 1..5 {
        let step = node.lists(&[container(A, attempt, exited(1))]);
        assert!(step.must_persist, "the next attempt is on disk before it is launched");
        let step = if step.orders.is_empty() { node.later(400) } else { step };
        assert_eq!(launches(&step), [(A, attempt + 1)]);
        node.hears(now_is(container(A, attempt + 1, Status::Running)));
    }
}

#[test]
fn r12_what_is_over_is_not_run_again_by_a_new_agent() {
    let once = Assignment { is_once: true, ..run(A) };
    for (code, all_gone) in [(0, false), (0, true), (3, false), (3, true)] {
        let mut node = Node::new();
        node.lists(&[]);
        node.hears(assigned(1, [once.clone()]));
        let ended = container(A, 1, exited(code));
        let step = node.hears(now_is(ended.clone()));
        assert!(node.state(A).is_final() && step.must_persist);
        let over = node.state(A);
        let mut node = node.restarted();
        let step = node.lists(if all_gone { &[] } else { std::slice::from_ref(&ended) });
        assert!(step.orders.is_empty(), "{code}: {:?}", step.orders);
        let step = node.hears(assigned(2, [once.clone()]));
        assert!(step.orders.is_empty(), "{code}: {:?}", step.orders);
        assert_eq!(node.state(A), over);
    }
}

#[test]
fn r12_a_new_agent_counts_on_from_the_attempt_that_was_written_down() {
    let mut node = Node::running(&[A]);
    node.lists(&[container(A, 1, exited(1))]);
    node.hears(now_is(container(A, 2, Status::Running)));
    // Everything was removed while there was no agent.
    let mut node = node.restarted();
    let step = node.lists(&[]);
    assert_eq!(launches(&step), [(A, 2)], "attempt 1 has been, and is never again");
}

#[test]
fn r12_a_preparation_that_is_done_is_not_done_again_by_a_new_agent() {
    let assignment = Assignment { spec: Arc::new(prepared_spec()), ..run(A) };
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [assignment]));
    let init = |status| Container {
        id: "init".to_owned(),
        container: "init".parse().unwrap(),
        network_of: Some("id-of-lab.app.1.1-1".to_owned()),
        ..container(A, 1, status)
    };
    let there = [container(A, 1, Status::Running), init(exited(0))];
    node.lists(&there);
    let mut node = node.restarted();
    let step = node.lists(&there);
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    // Nor when somebody has cleared away what had ended.
    let mut node = node.restarted();
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert!(step.orders.is_empty(), "{:?}", step.orders);
}

#[test]
fn r12_a_lost_journal_is_rebuilt_from_what_runs() {
    let mut node = Node::new();
    let there = [container(A, 7, Status::Running), container(B, 1, Status::Running)];
    let step = node.lists(&there);
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    let step = node.hears(assigned(9, [run(A), run(B)]));
    assert!(step.orders.is_empty(), "{:?}", step.orders);
    assert!(node.is_running(A) && node.is_running(B));
    assert_eq!(node.attempt(A), 7);
}

#[test]
fn r15_of_several_old_containers_the_oldest_goes_and_the_newest_keeps_its_log() {
    let mut node = Node::new();
    node.hears(assigned(1, [run(A)]));
    // In the order of their names, as a list is.
    let there = [
        container(A, 10, exited(1)),
        container(A, 11, Status::Running),
        container(A, 9, exited(1)),
    ];
    assert_eq!(removals(&node.lists(&there)), ["id-of-lab.app.1.1-9"]);
}

#[test]
fn r15_containers_of_earlier_attempts_are_stopped_before_the_newest_is_started() {
    let mut node = Node::running(&[A]);
    node.lists(&[container(A, 1, exited(1))]);
    let mut node = node.restarted();
    // The first attempt was started by somebody while there was no agent.
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert_eq!(stops(&step), ["id-of-lab.app.1.1-1"]);
    assert!(launches(&step).is_empty(), "two at once: {:?}", step.orders);
    let step = node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(launches(&step), [(A, 2)]);
}

#[test]
fn r15_of_the_ended_containers_of_earlier_attempts_only_the_last_is_kept() {
    let mut left: Vec<Container> = (1..4).map(|attempt| container(A, attempt, exited(1))).collect();
    left.push(container(A, 4, Status::Running));
    let mut node = Node::new();
    node.hears(assigned(1, [run(A)]));
    let mut step = node.lists(&left);
    while let [id] = removals(&step).as_slice() {
        left.retain(|container| container.id != *id);
        step = node.hears(done(A, OrderKind::Change, Outcome::Done));
    }
    let attempts: Vec<u32> = left.iter().map(|container| container.attempt).collect();
    assert_eq!(attempts, [3, 4], "the log of the third tells why there is a fourth");
}

#[test]
fn r15_everything_that_is_left_of_a_stopped_task_goes() {
    let mut node = Node::running(&[A]);
    node.hears(assigned(2, [stop(A, StopCause::Operator)]));
    let mut node = node.restarted();
    let left = [container(A, 1, exited(1)), container(A, 2, Status::Running)];
    assert_eq!(stops(&node.lists(&left)), ["id-of-lab.app.1.1-2"]);
    let mut step = node.hears(now_is(container(A, 2, exited(143))));
    let mut removed = Vec::new();
    while let [id] = removals(&step).as_slice() {
        removed.push((*id).to_owned());
        step = node.hears(done(A, OrderKind::Change, Outcome::Done));
    }
    removed.sort();
    assert_eq!(removed, ["id-of-lab.app.1.1-1", "id-of-lab.app.1.1-2"]);
}

#[test]
fn r15_a_container_that_nobody_knows_is_told_of_and_stays() {
    let mut node = Node::new();
    let stranger = container(B, 1, Status::Running);
    assert!(node.lists(std::slice::from_ref(&stranger)).orders.is_empty());
    assert_eq!(node.workload.orphans()[0].container_id, stranger.id);
    assert!(node.later(24 * 3600).orders.is_empty(), "nobody has disowned it");
}

#[test]
fn r15_a_container_that_nobody_knows_goes_when_it_was_disowned_for_long_enough() {
    let mut node = Node::new();
    let stranger = container(B, 1, Status::Running);
    node.lists(std::slice::from_ref(&stranger));
    node.later(60);
    let step = node.hears(Event::OrphansConfirmed { containers: vec![stranger.id.clone()] });
    assert!(step.orders.is_empty(), "somebody may still speak of it");
    assert!(node.later(539).orders.is_empty());
    assert_eq!(stops(&node.later(1)), [stranger.id.as_str()]);
    let step = node.lists(&[container(B, 1, exited(143))]);
    assert_eq!(removals(&step), [stranger.id.as_str()]);
}

#[test]
fn r15_a_task_that_was_forgotten_goes_when_it_was_disowned_for_long_enough() {
    let mut node = Node::running(&[A]);
    node.hears(assigned_at((2, 1, 1), []));
    let id = container(A, 1, Status::Running).id;
    assert!(node.later(3600).orders.is_empty(), "nobody has disowned it");
    let step = node.hears(Event::OrphansConfirmed { containers: vec![id.clone()] });
    assert_eq!(stops(&step), [id.as_str()]);
    let step = node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(removals(&step), [id.as_str()]);
}

#[test]
fn r4_what_an_agent_that_was_killed_has_ordered_may_still_come_before_a_task_is_over() {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [run(A)]));
    // The agent is killed, and its request waits in the engine; the next one hears of the end of the task.
    let mut node = node.restarted();
    node.hears(assigned(2, [stop(A, StopCause::Update)]));
    node.lists(&[]);
    assert!(!node.state(A).is_final(), "nobody knows yet whether it will run");
    node.later(15);
    let step = node.lists(&[container(A, 1, Status::Running)]);
    assert_eq!(stops(&step).len(), 1);
    node.hears(now_is(container(A, 1, exited(143))));
    assert_eq!(node.state(A), TaskState::Completed);
}

#[test]
fn r4_what_never_comes_is_waited_for_only_for_a_while() {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [run(A)]));
    let mut node = node.restarted();
    node.hears(assigned(2, [stop(A, StopCause::Update)]));
    let step = node.lists(&[]);
    let wake_at = step.wake_at.expect("time alone brings the end");
    node.later(wake_at.since(node.now).as_secs());
    assert_eq!(node.state(A), TaskState::Completed);
}

#[test]
fn r15_what_ran_to_its_end_stays_with_its_log_until_it_is_forgotten() {
    let ended = |cause| Assignment { is_once: true, ..stop(A, cause) };
    for (cause, stays) in [(StopCause::Ended, true), (StopCause::RunOver, false)] {
        let mut node = Node::new();
        node.lists(&[]);
        node.hears(assigned(1, [Assignment { is_once: true, ..run(A) }]));
        node.hears(now_is(container(A, 1, exited(0))));
        assert_eq!(node.state(A), TaskState::Completed);
        let step = node.hears(assigned(2, [ended(cause)]));
        assert_eq!(removals(&step).is_empty(), stays, "{cause:?}");
        if stays {
            let step = node.hears(assigned(3, []));
            assert_eq!(removals(&step), ["id-of-lab.app.1.1-1"]);
        }
    }
}
