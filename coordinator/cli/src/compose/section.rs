//! A mapping with keys of the table. It can only be asked for keys that are in the table, so that what is accepted and
//! what is read stay the same.

use super::keys::{Inside, Key, find};
use super::node::{Entry, Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::values;

/// A mapping and the keys that it can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    /// Where it stands, if it does.
    pub place: Option<Place>,
    entries: &'a [Entry],
    keys: &'static [Key],
}

impl<'a> Section<'a> {
    /// What a value says; an empty section, with an error, when it is no mapping.
    pub(super) fn new(problems: &mut Problems, node: &'a Node, keys: &'static [Key]) -> Self {
        let place = Some(node.place);
        match &node.value {
            Value::Mapping(entries) => Self { place, entries, keys },
            Value::Scalar(_) | Value::Sequence(_) => {
                if !node.is_null() {
                    values::expected(problems, node, "a mapping");
                }
                Self { place, entries: &[], keys }
            }
        }
    }

    /// The entry of a key, whatever its value is.
    pub(super) fn entry(&self, name: &'static str) -> Option<&'a Entry> {
        debug_assert!(find(self.keys, name).is_some(), "`{name}` is read but not in the table");
        #[cfg(test)]
        super::tests::asked::note(self.keys, name);
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// The value of a key, unless it is null.
    pub(super) fn node(&self, name: &'static str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value).filter(|node| !node.is_null())
    }

    /// What is inside of a key, empty when it is not there.
    pub(super) fn section(&self, problems: &mut Problems, name: &'static str) -> Self {
        let keys = match find(self.keys, name).map(|key| key.inside) {
            Some(Inside::Keys(keys) | Inside::Named(keys)) => keys,
            Some(Inside::Value) | None => &[],
        };
        match self.node(name) {
            Some(node) => Section::new(problems, node, keys),
            None => Self { place: None, entries: &[], keys },
        }
    }

    /// Reads the value of a key, if it is there and not an empty text: that is what a variable without a value leaves,
    /// and for the engine it is the same as nothing.
    pub(super) fn read<T>(
        &self,
        problems: &mut Problems,
        name: &'static str,
        read: impl FnOnce(&mut Problems, &'a Node) -> Option<T>,
    ) -> Option<T> {
        let is_given =
            |node: &&Node| !matches!(&node.value, Value::Scalar(scalar) if scalar.text.is_empty());
        self.node(name).filter(is_given).and_then(|node| read(problems, node))
    }

    /// Reads a text.
    pub(super) fn text(&self, problems: &mut Problems, name: &'static str) -> Option<String> {
        self.read(problems, name, values::text).map(str::to_owned)
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&self, problems: &mut Problems, name: &'static str) -> Option<bool> {
        self.read(problems, name, values::flag)
    }

    /// Reads a time in milliseconds.
    pub(super) fn duration_ms(&self, problems: &mut Problems, name: &'static str) -> Option<u64> {
        self.read(problems, name, values::duration_ms)
    }
}
