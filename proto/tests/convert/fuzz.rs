//! Corpora of messages and texts, and what is made out of them: each is refused with a word about it, or is a value that comes back as it was.

#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use model::constraint::Constraint;
use model::id::{SecretName, ServiceId, TaskId};
use model::image::{Digest, ImageReference};
use model::schedule::{Recurrence, Window, Zone};
use model::secret::reference::{Reference, ReferenceGlob};
use model::trust::ServiceGlob;

use self::replay::{corpus, replay};
use crate::golden;
use crate::random::judged;
use crate::random::outcome::{KINDS, Outcome};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name)
}

/// What is taken is written again as something that is taken, and then it stays so.
fn read_message(kind: &str, bytes: &[u8]) {
    if let Outcome::Taken { again } = judged(kind, bytes) {
        match judged(kind, &again) {
            Outcome::Taken { again: third } => assert_eq!(third, again, "{kind} does not settle"),
            other => panic!("a {kind} that was taken is {other:?} as it is written"),
        }
    }
}

#[test]
fn what_is_made_of_records_of_every_release_is_taken_or_refused_by_name() {
    for kind in KINDS {
        let mut inputs = golden::records_of(kind);
        if folder(kind).exists() {
            inputs.extend(corpus(&folder(kind)));
        }
        if !inputs.is_empty() {
            replay(kind, &inputs, (1_500, &|bytes| read_message(kind, bytes)));
        }
    }
}

/// A text is refused in words that can be shown, or is a value that is written in a form which is the same value. Says which.
fn read_text<T>(bytes: &[u8]) -> bool
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let again = written.parse::<T>();
            let again = again.unwrap_or_else(|error| panic!("{written:?} is refused: {error}"));
            assert_eq!(again, value, "{written:?}");
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "refused without a word");
            false
        }
    }
}

/// Says whether a text was taken.
type Taken<'a> = &'a dyn Fn(&[u8]) -> bool;

#[test]
fn what_is_made_of_texts_that_people_write_is_refused_or_comes_back_as_it_was() {
    let readers: [(&str, Taken<'_>); 6] = [
        ("image", &|bytes| read_text::<ImageReference>(bytes) | read_text::<Digest>(bytes)),
        ("constraint", &read_text::<Constraint>),
        ("cron", &read_text::<Recurrence>),
        ("window", &|bytes| read_text::<Window>(bytes) | read_text::<Zone>(bytes)),
        ("reference", &|bytes| {
            read_text::<Reference>(bytes)
                | read_text::<ReferenceGlob>(bytes)
                | read_text::<SecretName>(bytes)
        }),
        ("name", &|bytes| {
            read_text::<ServiceId>(bytes)
                | read_text::<TaskId>(bytes)
                | read_text::<ServiceGlob>(bytes)
        }),
    ];
    for (name, read) in readers {
        let inputs = corpus(&folder(name));
        let taken = inputs.iter().filter(|input| read(input)).count();
        assert!(taken * 2 > inputs.len(), "of {name} only {taken} are what they should be");
        replay(
            name,
            &inputs,
            (4_000, &|bytes| {
                read(bytes);
            }),
        );
    }
}
