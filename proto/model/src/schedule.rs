//! When the runs of a job begin by themselves: which times are due, and what becomes of those that come at a bad moment.
//!
//! All of it is arithmetic: which offset a time zone has when is data of the program and not of the machine, so that every
//! coordinator gives the same answer.

mod cron;
mod due;
#[cfg(test)]
mod tests;
mod window;
mod zone;

use std::fmt;
use std::time::Duration;

pub use cron::{EVERY_LEAST, EVERY_MOST, LENGTH_LIMIT, Recurrence, RecurrenceError};
pub use window::{Opening, WINDOWS_LIMIT, Window, WindowError, opening};
pub use zone::{Zone, ZoneError};

/// When the runs of a job begin, and what becomes of a time that comes at a bad moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Which times are due.
    pub recurrence: Recurrence,
    /// Where the clock hangs that they are read from.
    pub zone: Zone,
    /// What becomes of a time that comes while a run is in progress.
    pub overlap: Overlap,
    /// What becomes of the times that passed while nobody could look.
    pub catch_up: CatchUp,
}

/// What becomes of a time that comes while a run is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Forbid,
    /// Another run begins beside it.
    Allow,
    /// The run is stopped, and another begins once it has ended.
    Replace,
}

/// What becomes of the times that passed while nobody could look: the coordinator was away, or stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// They are skipped.
    None,
    /// The newest of them has its run late.
    Last {
        /// Unless it is older than this.
        within: Duration,
    },
    /// Each of them has its run late.
    All {
        /// Unless it is older than this.
        within: Duration,
    },
}

/// The longest time that is caught up: what is older than a week is no longer late.
pub const CATCH_UP_MOST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How far is caught up when nothing is said.
pub const CATCH_UP_USUAL: Duration = Duration::from_secs(24 * 3_600);

impl Default for CatchUp {
    fn default() -> Self {
        Self::Last { within: CATCH_UP_USUAL }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbid => "forbid",
            Self::Allow => "allow",
            Self::Replace => "replace",
        })
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Last { within } => write!(f, "last within {} s", within.as_secs()),
            Self::All { within } => write!(f, "all within {} s", within.as_secs()),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recurrence, zone, overlap, catch_up } = self;
        write!(f, "{recurrence} ({zone}), overlap {overlap}, catch up {catch_up}")
    }
}
