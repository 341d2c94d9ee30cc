//! Names, texts and numbers that are valid, the shortest and the longest among them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::resources::{GPUS_LIMIT, PIDS_LIMIT, Resources};
use model::time::Timestamp;
use proptest::prelude::*;

/// Characters that do not show as themselves.
pub(crate) fn is_hidden(character: char) -> bool {
    let turns = ['\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    character.is_control() || turns.iter().any(|range| range.contains(&character))
}

/// One of these.
pub(crate) fn one_of<T: Clone + std::fmt::Debug + 'static, const COUNT: usize>(
    all: [T; COUNT],
) -> impl Strategy<Value = T> {
    prop::sample::select(all.to_vec())
}

/// The name of a project, a service, a container or a cluster.
pub(crate) fn name<Name>() -> impl Strategy<Value = Name>
where
    Name: std::str::FromStr<Err = model::id::NameError> + std::fmt::Debug,
{
    prop_oneof![9 => "[a-z0-9][a-z0-9_-]{0,8}", 1 => "[a-z0-9][a-z0-9_-]{62}"]
        .prop_map(|name| name.parse().unwrap())
}

/// The name of a node.
pub(crate) fn node_id() -> impl Strategy<Value = model::id::NodeId> {
    prop_oneof![9 => "[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", 1 => "[A-Za-z0-9][A-Za-z0-9_.-]{127}"]
        .prop_map(|name| name.parse().unwrap())
}

/// Any text without NUL.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[\\x01-\\x1f\u{7f}\u{85}\u{2028}\u{202e}é→🚢]{0,6}",
        Just(String::new()),
    ]
}

/// A text that shows as what it is, and is not empty.
pub(crate) fn word() -> impl Strategy<Value = String> {
    "[ -~éß→\u{ad}\u{300}\u{200f}🚢]{1,8}"
}

/// A path that is absolute, each time another one.
pub(crate) fn path() -> impl Strategy<Value = String> {
    "/[a-z0-9 .é]{0,4}/?[a-z]{1,6}"
        .prop_filter("leads back up", |path| !path.split('/').any(|part| part == ".."))
        .prop_map(|path| path.trim_end_matches(['/', '.']).to_owned())
        .prop_filter("is the root", |path| !path.is_empty())
}

/// A few entries by a name that is a word.
pub(crate) fn map<Value: std::fmt::Debug>(
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = BTreeMap<String, Value>> {
    prop::collection::btree_map("[a-vA-Z_][a-z.é-]{0,6}", value, 0..4)
}

/// From nothing to a year, in milliseconds.
pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    const LONGEST: u64 = 366 * 24 * 3_600_000;
    prop_oneof![Just(0), 1..100_000_u64, 0..=LONGEST, Just(LONGEST)].prop_map(Duration::from_millis)
}

/// Any amount that a node can have or a task can ask for.
pub(crate) fn resources() -> impl Strategy<Value = Resources> {
    let few = |most| prop_oneof![Just(0), 0..=most];
    (limit(), few(GPUS_LIMIT), few(u64::MAX), few(PIDS_LIMIT))
        .prop_map(|(limit, gpus, disk_bytes, pids)| Resources { gpus, disk_bytes, pids, ..limit })
}

/// Any amount that a container can be limited to.
pub(crate) fn limit() -> impl Strategy<Value = Resources> {
    let amount = || prop_oneof![Just(0), 0..1_000_000_u64, any::<u64>(), Just(u64::MAX)];
    (amount(), amount()).prop_map(|(cpu_millis, memory_bytes)| Resources {
        cpu_millis,
        memory_bytes,
        ..Resources::default()
    })
}

/// Any instant.
pub(crate) fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)].prop_map(Timestamp::from_millis)
}

/// A port.
pub(crate) fn port() -> impl Strategy<Value = u16> {
    prop_oneof![1..=u16::MAX, Just(1), Just(u16::MAX)]
}
