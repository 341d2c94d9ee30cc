//! What is done with machines whose agents are silent, and with which it was.

use std::collections::BTreeMap;

use model::fleet::Unreachable;
use model::id::NodeId;
use model::time::Timestamp;

use super::checks::line;
use super::{At, Valid};
use crate::wire;

/// Reads what is done with machines that are silent. Who says nothing has them waited for.
///
/// # Errors
/// When it is none of those that there are.
pub fn unreachable_from_wire(path: &str, from: Option<i32>) -> Valid<Unreachable> {
    let Some(from) = from else { return Ok(Unreachable::default()) };
    match wire::Unreachable::try_from(from) {
        Ok(wire::Unreachable::Keep) => Ok(Unreachable::Keep),
        Ok(wire::Unreachable::End) => Ok(Unreachable::End),
        Ok(wire::Unreachable::EndProtected) => Ok(Unreachable::EndProtected),
        Ok(wire::Unreachable::Unspecified) | Err(_) => None.at(path),
    }
}

/// Writes what is done with machines that are silent: nothing where they are waited for.
#[must_use]
pub fn unreachable_to_wire(unreachable: Unreachable) -> Option<i32> {
    match unreachable {
        Unreachable::Keep => None,
        Unreachable::End => Some(wire::Unreachable::End.into()),
        Unreachable::EndProtected => Some(wire::Unreachable::EndProtected.into()),
    }
}

pub(super) fn condemned_from_wire(from: &[wire::Condemned]) -> Valid<BTreeMap<NodeId, Timestamp>> {
    let one = |one: &wire::Condemned| {
        let id = one.instance.parse::<NodeId>().ok().at("pool.condemned.instance")?;
        Ok((id, Timestamp::from_millis(one.at_ms)))
    };
    from.iter().map(one).collect()
}

pub(super) fn condemned_to_wire(condemned: &BTreeMap<NodeId, Timestamp>) -> Vec<wire::Condemned> {
    let one = |(id, at): (&NodeId, &Timestamp)| wire::Condemned {
        instance: id.to_string(),
        at_ms: at.as_millis(),
    };
    condemned.iter().map(one).collect()
}

pub(super) fn condemned_in_from_wire(
    from: &[wire::CondemnedIn],
) -> Valid<BTreeMap<String, Timestamp>> {
    let one = |one: &wire::CondemnedIn| {
        let zone = line("pool.condemned_in.zone", &one.zone)?;
        Ok((zone, Timestamp::from_millis(one.at_ms)))
    };
    from.iter().map(one).collect()
}

pub(super) fn condemned_in_to_wire(
    condemned_in: &BTreeMap<String, Timestamp>,
) -> Vec<wire::CondemnedIn> {
    let one = |(zone, at): (&String, &Timestamp)| wire::CondemnedIn {
        zone: zone.clone(),
        at_ms: at.as_millis(),
    };
    condemned_in.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_with_silent_machines_is_read_as_it_was_written_and_nothing_else_is() {
        for unreachable in [Unreachable::Keep, Unreachable::End, Unreachable::EndProtected] {
            let read = unreachable_from_wire("unreachable", unreachable_to_wire(unreachable));
            assert_eq!(read.ok(), Some(unreachable));
        }
        assert_eq!(unreachable_from_wire("unreachable", Some(1)).ok(), Some(Unreachable::Keep));
        assert!(unreachable_from_wire("unreachable", Some(0)).is_err());
        assert!(unreachable_from_wire("unreachable", Some(99)).is_err());
    }
}
