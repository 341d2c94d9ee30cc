//! Whatever can be sent is either refused, with a word about the field, or is a value that comes back as it was.

mod absurd;
mod jobs;
pub(crate) mod outcome;
mod specs;
mod states;
mod values;

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use proto::convert::{
    assignments_from_wire, assignments_to_wire, node_to_wire, service_to_wire, spec_to_wire,
    state_to_wire, task_to_wire,
};
use proto::wire;

use self::absurd::Choices;
use self::outcome::{KINDS, Outcome, judge};
use crate::schema;

fn cases(cases: u32) -> ProptestConfig {
    let failure_persistence = None;
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 400, ..Default::default() }
}

/// What was valid is read back, and is what it was: the same bytes come of it.
fn survives(kind: &str, bytes: &[u8]) {
    match judge(kind, bytes) {
        Outcome::Taken { again } => assert_eq!(again, bytes, "{kind} is written in another way"),
        Outcome::Refused(invalid) => panic!("a {kind} that is valid is refused: {invalid}"),
        Outcome::Undecodable => panic!("a {kind} that was encoded can not be decoded"),
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_spec_comes_back_as_it_was(spec in specs::service()) {
        let wire = spec_to_wire(&spec);
        let bytes = wire.encode_to_vec();
        prop_assert_eq!(&wire::ServiceSpec::decode(bytes.as_slice()).unwrap(), &wire);
        prop_assert_eq!(proto::convert::spec_from_wire(&wire).unwrap(), spec);
        survives("ServiceSpec", &bytes);
    }

    #[test]
    fn a_service_comes_back_as_it_was(service in states::service()) {
        let wire = service_to_wire(&service);
        prop_assert_eq!(proto::convert::service_from_wire(&wire).unwrap(), service);
        survives("Service", &wire.encode_to_vec());
    }

    #[test]
    fn a_task_comes_back_as_it_was(task in states::task()) {
        let wire = task_to_wire(&task);
        prop_assert_eq!(proto::convert::task_from_wire(&wire).unwrap(), task);
        survives("Task", &wire.encode_to_vec());
    }

    #[test]
    fn a_node_and_a_state_come_back_as_they_were(node in states::node(), state in states::state()) {
        let wire = node_to_wire(&node);
        prop_assert_eq!(proto::convert::node_from_wire(&wire).unwrap(), node);
        survives("Node", &wire.encode_to_vec());
        let wire = state_to_wire(&state);
        prop_assert_eq!(proto::convert::state_from_wire(Some(&wire)).unwrap(), state);
    }

    #[test]
    fn assignments_come_back_as_they_were(tasks in prop::collection::vec(states::task(), 0..4)) {
        let tasks: Vec<_> = tasks.into_iter().map(Arc::new).collect();
        let sent = assignments_to_wire(wire::Fence::default(), &tasks);
        let sent = wire::Assignments::decode(sent.encode_to_vec().as_slice()).unwrap();
        let read = assignments_from_wire(&sent).unwrap();
        prop_assert_eq!(read.len(), tasks.len());
        for (read, task) in read.iter().zip(&tasks) {
            prop_assert_eq!((&read.task, &read.project), (&task.id, &task.service.project));
            prop_assert_eq!((&read.service, read.desired), (&task.service.name, task.told()));
            // Where a task goes, and who sends it requests, is not for a node to say.
            let (constraints, routes) = (Vec::new(), Vec::new());
            let spec = model::spec::TaskSpec { constraints, routes, ..task.generation.spec.task.clone() };
            prop_assert_eq!(&*read.spec, &spec);
            let journalled = proto::convert::assignment_to_journal(read);
            let again = proto::convert::assignment_from_wire(&journalled, Arc::clone(&read.spec));
            prop_assert_eq!(&again.unwrap(), read);
        }
    }
}

/// Judges, and says what is wrong with a refusal that a person could do nothing with.
pub(crate) fn judged(kind: &str, bytes: &[u8]) -> Outcome {
    let outcome = judge(kind, bytes);
    if let Outcome::Refused(invalid) = &outcome {
        let said = invalid.to_string();
        assert!(said.len() < 1_000, "{} bytes say what is wrong: {said:.100}", said.len());
        assert!(!said.contains(values::is_hidden), "what is said hides something: {said:?}");
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./[]".contains(c);
        assert!(!invalid.path.is_empty() && invalid.path.chars().all(is_path), "{said}");
    }
    outcome
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in KINDS {
            judged(kind, &bytes);
        }
    }

    #[test]
    fn no_message_makes_a_reader_panic(choices in prop::collection::vec(any::<u16>(), 0..600)) {
        for kind in KINDS {
            let message = absurd::message(&schema::message(kind), &mut Choices::new(&choices));
            judged(kind, &message.encode_to_vec());
        }
    }
}

proptest! {
    #![proptest_config(cases(128))]

    /// One thing of a sound message is changed: what is said about it leads there.
    #[test]
    fn a_sound_message_with_one_absurd_part_is_taken_or_refused_by_name(
        Sound { kind, bytes } in sound(),
        choices in prop::collection::vec(any::<u16>(), 40),
    ) {
        let mut message = schema::read(kind, &bytes);
        let track = absurd::spoil(&mut message, &mut Choices::new(&choices));
        if let Outcome::Refused(invalid) = judged(kind, &message.encode_to_vec()) {
            prop_assert!(absurd::leads_to(&invalid, &track), "{invalid} after {track:?}");
        }
    }
}

/// A message that is taken.
struct Sound {
    kind: &'static str,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, schema::read(self.kind, &self.bytes).to_text_format())
    }
}

fn sound() -> BoxedStrategy<Sound> {
    fn encode(kind: &'static str, message: &impl Message) -> Sound {
        Sound { kind, bytes: message.encode_to_vec() }
    }
    prop_oneof![
        specs::service().prop_map(|spec| encode("ServiceSpec", &spec_to_wire(&spec))),
        states::service().prop_map(|service| encode("Service", &service_to_wire(&service))),
        states::task().prop_map(|task| encode("Task", &task_to_wire(&task))),
        states::node().prop_map(|node| encode("Node", &node_to_wire(&node))),
    ]
    .boxed()
}
