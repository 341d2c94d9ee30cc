//! What is stored and what is reported: it was accepted or seen once, and has to be read again.

use std::sync::Arc;

use model::task::DesiredState;
use proto::convert::{
    assignments_from_wire, assignments_to_wire, service_from_wire, state_from_wire, task_from_wire,
};
use proto::wire;

use crate::sample;

/// What was seen is not asked for: an agent that is refused says the same again, and a coordinator that can not read its
/// store does not start.
#[test]
fn no_words_of_an_engine_keep_a_report_or_a_record_from_being_read() {
    let words = "é\0\u{1b}".repeat(100_000);
    let failed = wire::Failed { kind: wire::FailureKind::Host.into(), reason: words.clone() };
    let state = wire::TaskState { kind: Some(wire::task_state::Kind::Failed(failed)) };
    let read = state_from_wire(Some(&state)).unwrap();
    let mut task = wire::Task { note: words.clone(), state: Some(state), ..sample::task(1) };
    task.containers[0].exit = Some(wire::Exit { error: words, ..Default::default() });
    let task = task_from_wire(&task).unwrap();
    assert_eq!(task.state, read);
    let exit = task.containers[0].exit.as_ref().unwrap();
    for text in [&task.note, &exit.error] {
        assert!(text.len() < 5_000 && text.starts_with('é') && text.ends_with('…'), "{text:.40}");
    }
}

#[test]
fn a_record_whose_parts_contradict_each_other_is_refused() {
    type SpoilService = (fn(&mut wire::Service), &'static str);
    let spoils: [SpoilService; 8] = [
        (|service| service.target.as_mut().unwrap().number = 0, "service.target.number: "),
        (|service| service.target.as_mut().unwrap().number = u64::MAX, "service.target.number: "),
        (|service| service.target.as_mut().unwrap().template = 3, "service.target.template: "),
        (|service| service.target.as_mut().unwrap().template = 0, "service.target.template: "),
        (
            |service| service.target.as_mut().unwrap().set_origin(wire::Origin::RolledBack),
            "service.target.rolled_back_to: ",
        ),
        (|service| service.stable = Some(sample::generation(3)), "service.stable.number: "),
        (|service| service.history.push(sample::past(2)), "service.history.generation.number: "),
        (
            |service| {
                let past = service.history[0].generation.as_mut().unwrap();
                past.spec.as_mut().unwrap().name = "other".to_owned();
            },
            "service.history.generation.spec: ",
        ),
    ];
    for (spoil, why) in spoils {
        let mut service = sample::service();
        spoil(&mut service);
        let said = service_from_wire(&service)
            .map_or_else(|error| error.to_string(), |_| "taken".to_owned());
        assert!(said.starts_with(why), "expected {why:?}, got {said:?}");
    }
    let other = wire::Task { service: "other".to_owned(), ..sample::task(1) };
    assert!(task_from_wire(&other).unwrap_err().path.starts_with("task.generation"));
    let slot = Some(wire::Slot { kind: Some(wire::slot::Kind::Replica(0)) });
    let slot = wire::Task { slot, ..sample::task(1) };
    assert!(task_from_wire(&slot).unwrap_err().path.starts_with("task.slot"));
}

/// A later version may remember more.
#[test]
fn of_a_longer_history_the_newest_generations_are_remembered() {
    let mut service = sample::service();
    service.target = Some(sample::generation(100));
    service.history = (1..=50).map(sample::past).collect();
    let history = service_from_wire(&service).unwrap().history;
    assert_eq!(history.len(), model::service::HISTORY_LIMIT);
    assert_eq!(history.last().unwrap().generation.number, 50);
}

/// After a restart of the coordinator each task has a generation of its own in memory: the assignments of a node would
/// grow past what a message takes.
#[test]
fn tasks_that_were_read_from_a_store_still_share_their_spec_on_the_wire() {
    let tasks: Vec<_> =
        (1..=100).map(|number| Arc::new(task_from_wire(&sample::task(number)).unwrap())).collect();
    let sent = assignments_to_wire(wire::Fence::default(), &tasks);
    assert_eq!((sent.specs.len(), sent.tasks.len()), (1, 100));
    assert_eq!(assignments_from_wire(&sent).unwrap().len(), 100);
}

/// A coordinator is often newer than the agents in its machine images. One word that they do not know must not cost a node
/// everything that it should run.
#[test]
fn a_reason_to_stop_that_is_not_known_yet_is_followed_all_the_same() {
    let tasks: Vec<_> =
        (1..=2).map(|number| Arc::new(task_from_wire(&sample::task(number)).unwrap())).collect();
    let mut sent = assignments_to_wire(wire::Fence::default(), &tasks);
    let first = |sent: &mut wire::Assignments, cause| {
        let assignment = sent.tasks[0].assignment.as_mut().unwrap();
        assignment.set_desired(wire::Desired::Stop);
        assignment.stop_cause = cause;
    };
    first(&mut sent, 9_999);
    let read = assignments_from_wire(&sent).unwrap();
    let DesiredState::Stop { cause, .. } = read[0].desired else { panic!("{read:?}") };
    assert!(!cause.is_intended(), "nobody is known to have asked for it");
    assert_eq!(read[1].desired, DesiredState::Run);
    first(&mut sent, 0);
    assert!(assignments_from_wire(&sent).is_err(), "none at all is a mistake");
}
