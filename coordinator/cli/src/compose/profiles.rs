//! Chooses the services of the active profiles.

use std::collections::BTreeSet;

use super::Options;
use super::node::{Entry, Node};
use super::reader::Reader;
use super::values;

/// Gives the services that are active, and the names of the others.
pub(super) fn split<'a>(
    reader: &mut Reader<'_>,
    options: &Options,
    services: &'a Node,
) -> (Vec<&'a Entry>, BTreeSet<String>) {
    let active = active(reader, options);
    let (mut chosen, mut others) = (Vec::new(), BTreeSet::new());
    for entry in services.entries() {
        let node = entry.value.get("profiles").filter(|node| !node.is_null());
        let profiles = node.and_then(|node| values::texts(&mut reader.problems, node));
        let profiles = profiles.unwrap_or_default();
        let is_active = profiles.iter().any(|profile| active.contains(profile));
        if profiles.is_empty() || is_active || active.contains("*") {
            chosen.push(entry);
        } else {
            others.insert(entry.key.clone());
        }
    }
    (chosen, others)
}

fn active(reader: &Reader<'_>, options: &Options) -> BTreeSet<String> {
    if !options.profiles.is_empty() {
        return options.profiles.iter().cloned().collect();
    }
    let profiles = reader.variables.get("COMPOSE_PROFILES").unwrap_or_default();
    profiles.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
