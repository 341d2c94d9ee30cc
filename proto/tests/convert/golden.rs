//! Records of each release, kept as they were written, are read by every later one. See `golden/README.md`.

mod file;
mod stored;
mod v0_1_0;
mod v0_2_0;

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value};

use self::stored::Stored;
use crate::schema;

/// The records of a release: what each is called, and what it says.
type Records = Vec<(&'static str, Stored)>;

/// A release, and where its records are written down.
type Release = (&'static str, fn() -> Records);

/// Each release that writes something else than the one before, oldest first.
const RELEASES: &[Release] = &[("0.1.0", v0_1_0::records), ("0.2.0", v0_2_0::records)];

/// Fields of stored messages that are not stored: a journal names specs by their place, and does without the slot. The usual
/// strategy and the usual priority can be said in a request, and are not written.
const NEVER_STORED: [&str; 8] = [
    "wharf.v1.Assignment.slot",
    "wharf.v1.Assignment.spec",
    "wharf.v1.ServiceSpec.strategy STRATEGY_SPREAD",
    "wharf.v1.ServiceSpec.priority PRIORITY_NORMAL",
    "wharf.v1.TaskSpec.profile PROFILE_DEFAULT",
    "wharf.v1.PoolPolicy.profile PROFILE_DEFAULT",
    "wharf.v1.PoolPolicy.precaution PRECAUTION_DRAIN",
    "wharf.v1.PoolPolicy.unreachable UNREACHABLE_KEEP",
];

/// The bytes of all records of a message, of every release.
pub(crate) fn records_of(message: &str) -> Vec<Vec<u8>> {
    let all = RELEASES.iter().flat_map(|(_, records)| records());
    all.filter(|(_, record)| record.message() == message)
        .map(|(_, record)| record.write())
        .collect()
}

fn newest() -> (&'static str, Records) {
    let (release, records) = RELEASES.last().unwrap();
    (release, records())
}

#[test]
fn a_record_of_each_release_reads_back_as_it_was() {
    for (release, records) in RELEASES {
        for (name, record) in records() {
            let bytes = file::bytes(release, name, &record);
            let read = Stored::read(record.message(), &bytes);
            assert_eq!(read, record, "{release}/{name}");
        }
    }
}

#[test]
fn this_version_writes_what_the_newest_records_hold() {
    let (release, records) = newest();
    for (name, record) in records {
        let kept = file::bytes(release, name, &record);
        assert!(
            record.write() == kept,
            "{release}/{name} is written in another way now: if {release} is out, add records of the next release"
        );
    }
}

#[test]
fn every_file_is_a_record_of_its_release_and_is_read() {
    for (release, records) in RELEASES {
        let named: BTreeSet<String> = records()
            .iter()
            .map(|(name, record)| {
                file::bytes(release, name, record);
                format!("{name}.txt")
            })
            .collect();
        let names = std::fs::read_dir(file::folder(release)).unwrap();
        let there: BTreeSet<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(there, named, "{release}");
    }
    let folders = std::fs::read_dir(file::folder("")).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir()).count();
    assert_eq!(folders, RELEASES.len(), "a folder is no release that is read");
}

/// Unknown fields of every wire type, in every message of the record, empty ones among them.
#[test]
fn a_record_with_fields_of_a_later_release_still_reads() {
    let (release, records) = newest();
    for (name, record) in records {
        let bytes = file::bytes(release, name, &record);
        let grown = grow(&schema::read(record.message(), &bytes));
        assert!(grown.len() > bytes.len() + LATER.len() - 1, "{name} has not grown");
        assert_eq!(Stored::read(record.message(), &grown), record, "{name}");
    }
}

/// Field 1000 as a number, as 8 bytes, as a text, and as 4 bytes.
const LATER: [u8; 24] = [
    0xc0, 0x3e, 0x07, // varint
    0xc1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8, // 64 bits
    0xc2, 0x3e, 2, b'h', b'i', // text
    0xc5, 0x3e, 1, 2, 3, 4, // 32 bits
];

fn grow(message: &DynamicMessage) -> Vec<u8> {
    let mut grown = message.clone();
    for (_, value) in grown.fields_mut() {
        match value {
            Value::Message(inner) => *inner = grown_message(inner),
            Value::List(values) => {
                values.iter_mut().filter_map(Value::as_message_mut).for_each(|inner| {
                    *inner = grown_message(inner);
                });
            }
            Value::Map(entries) => {
                entries.values_mut().filter_map(Value::as_message_mut).for_each(|inner| {
                    *inner = grown_message(inner);
                });
            }
            _ => {}
        }
    }
    let mut bytes = prost::Message::encode_to_vec(&grown);
    bytes.extend(LATER);
    bytes
}

fn grown_message(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), grow(message).as_slice()).unwrap()
}

/// Whoever adds a field, an arm or a value to a message that is stored adds it to the records, and so reads it in every
/// later release.
#[test]
fn the_newest_records_have_every_field_every_arm_and_every_value() {
    let (mut possible, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let (release, records) = newest();
    for (name, record) in records {
        all_of(&schema::message(record.message()), &mut possible);
        let bytes = file::bytes(release, name, &record);
        seen_in(&schema::read(record.message(), &bytes), &mut seen);
    }
    NEVER_STORED.iter().for_each(|field| assert!(possible.remove(*field), "no field {field}"));
    let missing: Vec<_> = possible.difference(&seen).collect();
    assert!(missing.is_empty(), "no record has {missing:#?}");
}

fn all_of(message: &MessageDescriptor, possible: &mut BTreeSet<String>) {
    for field in message.fields() {
        if !possible.insert(field.full_name().to_owned()) {
            continue;
        }
        let kind = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { panic!("a map is of entries") };
            entry.map_entry_value_field().kind()
        } else {
            field.kind()
        };
        match kind {
            Kind::Message(inner) => all_of(&inner, possible),
            // The value 0 of an enum is that nothing was said.
            Kind::Enum(words) => possible.extend(
                words
                    .values()
                    .filter(|word| word.number() != 0)
                    .map(|word| format!("{} {}", field.full_name(), word.name())),
            ),
            _ => {}
        }
    }
}

fn seen_in(message: &DynamicMessage, seen: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        seen.insert(field.full_name().to_owned());
        if let (Kind::Enum(words), Value::EnumNumber(number)) = (field.kind(), value) {
            let word = words.get_value(*number).unwrap();
            seen.insert(format!("{} {}", field.full_name(), word.name()));
        }
        schema::inner(value).into_iter().for_each(|inner| seen_in(inner, seen));
    }
}
