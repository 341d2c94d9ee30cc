//! What machines have to expect, and what is done about it.

use std::time::Duration;

use model::fleet::{Outlook, Precaution};
use model::time::Timestamp;

use super::{At, Valid};
use crate::wire;

/// Reads what is done with machines of which EC2 warns. Who says nothing has them emptied.
///
/// # Errors
/// When it is none of those that there are.
pub fn precaution_from_wire(path: &str, from: Option<i32>) -> Valid<Precaution> {
    let Some(from) = from else { return Ok(Precaution::default()) };
    match wire::Precaution::try_from(from) {
        Ok(wire::Precaution::Drain) => Ok(Precaution::Drain),
        Ok(wire::Precaution::Close) => Ok(Precaution::Close),
        Ok(wire::Precaution::Ignore) => Ok(Precaution::Ignore),
        Ok(wire::Precaution::Unspecified) | Err(_) => None.at(path),
    }
}

/// Writes what is done with machines of which EC2 warns: nothing where they are emptied.
#[must_use]
pub fn precaution_to_wire(precaution: Precaution) -> Option<i32> {
    match precaution {
        Precaution::Drain => None,
        Precaution::Close => Some(wire::Precaution::Close.into()),
        Precaution::Ignore => Some(wire::Precaution::Ignore.into()),
    }
}

/// Reads what a machine has to expect, as an agent says it.
#[must_use]
pub fn outlook_from_agent(from: &wire::Foreseen, now: Timestamp) -> Outlook {
    let at = |in_ms: Option<u64>| in_ms.map(|wait| now + Duration::from_millis(wait));
    Outlook {
        interrupted_at: at(from.interrupted_in_ms),
        maintained_at: at(from.maintained_in_ms),
        is_at_risk: from.at_risk,
        is_leaving: from.leaving,
    }
}

/// Writes what a machine has to expect, as an agent says it.
#[must_use]
pub fn outlook_to_agent(outlook: &Outlook, now: Timestamp) -> wire::Foreseen {
    let wait = |at: Option<Timestamp>| {
        at.map(|at| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX))
    };
    wire::Foreseen {
        interrupted_in_ms: wait(outlook.interrupted_at),
        maintained_in_ms: wait(outlook.maintained_at),
        at_risk: outlook.is_at_risk,
        leaving: outlook.is_leaving,
    }
}

/// Reads what a machine has to expect, as it was recorded.
#[must_use]
pub fn outlook_from_wire(from: &wire::Outlook) -> Outlook {
    Outlook {
        interrupted_at: from.interrupted_at_ms.map(Timestamp::from_millis),
        maintained_at: from.maintained_at_ms.map(Timestamp::from_millis),
        is_at_risk: from.at_risk,
        is_leaving: from.leaving,
    }
}

/// Writes what a machine has to expect, to be recorded.
#[must_use]
pub fn outlook_to_wire(outlook: &Outlook) -> wire::Outlook {
    wire::Outlook {
        interrupted_at_ms: outlook.interrupted_at.map(Timestamp::as_millis),
        maintained_at_ms: outlook.maintained_at.map(Timestamp::as_millis),
        at_risk: outlook.is_at_risk,
        leaving: outlook.is_leaving,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreseen_is_read_as_it_was_written() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let outlook = Outlook {
            interrupted_at: Some(now + Duration::from_secs(90)),
            maintained_at: Some(now + Duration::from_secs(86_400)),
            is_at_risk: true,
            is_leaving: true,
        };
        for outlook in [outlook, Outlook::default()] {
            assert_eq!(outlook_from_wire(&outlook_to_wire(&outlook)), outlook);
            assert_eq!(outlook_from_agent(&outlook_to_agent(&outlook, now), now), outlook);
        }
        // The clock of another machine does not count, only what is left.
        let elsewhere = Timestamp::from_millis(1_900_000_000_000);
        let heard = outlook_from_agent(&outlook_to_agent(&outlook, now), elsewhere);
        assert_eq!(heard.interrupted_at, Some(elsewhere + Duration::from_secs(90)));
    }

    #[test]
    fn a_precaution_is_read_as_it_was_written_and_no_other_is() {
        for precaution in [Precaution::Drain, Precaution::Close, Precaution::Ignore] {
            let read = precaution_from_wire("precaution", precaution_to_wire(precaution));
            assert_eq!(read.ok(), Some(precaution));
        }
        assert_eq!(precaution_from_wire("precaution", Some(1)).ok(), Some(Precaution::Drain));
        assert!(precaution_from_wire("precaution", Some(0)).is_err());
        assert!(precaution_from_wire("precaution", Some(99)).is_err());
    }
}
