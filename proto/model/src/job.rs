//! Jobs: services whose tasks run to their end, in runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::service::Generation;
use crate::time::Timestamp;

/// What a job wants of each of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// When a run has succeeded.
    pub completions: Completions,
    /// The most tasks of a run at the same time: from 1 to [`REPLICAS_LIMIT`](crate::spec::REPLICAS_LIMIT).
    pub parallelism: u32,
    /// How often the application may fail in one slot before the run has failed: at most [`RETRIES_LIMIT`].
    pub retries: u32,
    /// The wait before the first new task in a slot where one failed; doubled with each, up to [`BACKOFF_LIMIT`].
    pub backoff: Duration,
    /// A run that takes longer has failed, and its tasks are stopped.
    pub deadline: Option<Duration>,
    /// How many runs are remembered.
    pub keep: Keep,
}

/// When a run of a job has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completions {
    /// When so many tasks have: from 1 to [`REPLICAS_LIMIT`](crate::spec::REPLICAS_LIMIT).
    Count(u32),
    /// When one has on each node that the constraints allow.
    EveryNode,
}

/// How many runs that are over are remembered, with their last tasks and what these wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Of those that succeeded: from 1 to [`KEEP_LIMIT`].
    pub succeeded: u32,
    /// Of all others: from 1 to [`KEEP_LIMIT`].
    pub failed: u32,
}

impl Default for Keep {
    /// As Kubernetes remembers jobs that succeeded, and more of those that did not: they are what is looked for.
    fn default() -> Self {
        Self { succeeded: 3, failed: 3 }
    }
}

/// The most retries: with the longest waits they take eight hours, and nobody waits for longer.
pub const RETRIES_LIMIT: u32 = 100;

/// How often the application may fail in a slot when nothing is said.
pub const RETRIES_USUAL: u32 = 3;

/// No wait before a new task is longer, unless the first one is.
pub const BACKOFF_LIMIT: Duration = Duration::from_secs(300);

/// The wait before the first new task when nothing is said.
pub const BACKOFF_USUAL: Duration = Duration::from_secs(10);

/// The most runs of each kind that are remembered: each has tasks, and containers on nodes with their logs.
pub const KEEP_LIMIT: u32 = 100;

/// The most runs of a job at the same time: more is a schedule that its job can not keep up with.
pub const ACTIVE_LIMIT: usize = 10;

/// The most times that are caught up one after the other.
pub const OWED_LIMIT: usize = 100;

/// The runs of a service, if it is or ever was a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    /// The number of the newest run; 0 before the first. None is used again.
    pub last: u64,
    /// Those in progress, oldest first; at most [`ACTIVE_LIMIT`].
    pub active: Vec<Run>,
    /// Those that are over and remembered, in the order in which they began.
    pub past: Vec<PastRun>,
    /// The times of the schedule up to here have been dealt with, and none of them begins a run again.
    pub dealt_until: Timestamp,
    /// Times that passed and still have their runs, oldest first; at most [`OWED_LIMIT`].
    pub owed: Vec<Timestamp>,
    /// How many times of the schedule had no run since the last that had.
    pub skipped: u64,
    /// An operator has suspended the schedule.
    pub is_suspended: bool,
}

impl Runs {
    /// The run in progress with this number.
    #[must_use]
    pub fn active(&self, number: u64) -> Option<&Run> {
        self.active.iter().find(|run| run.number == number)
    }

    /// Says whether the run is remembered though it is over.
    #[must_use]
    pub fn remembers(&self, number: u64) -> bool {
        self.past.iter().any(|run| run.number == number)
    }
}

/// A run in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Counts upward from 1 in each service.
    pub number: u64,
    /// Why it began.
    pub cause: RunCause,
    /// What it runs, though the service may have gone on to another.
    pub generation: Arc<Generation>,
    /// When it began.
    pub started_at: Timestamp,
    /// All slots up to this number have completed, and their tasks are not needed to know it.
    pub done: u32,
}

/// Why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCause {
    /// The job was deployed.
    Deployed,
    /// This time of its schedule was due.
    Due(Timestamp),
    /// An operator asked for it.
    Asked,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// Which.
    pub number: u64,
    /// Why it began.
    pub cause: RunCause,
    /// The number of the generation that it ran.
    pub generation: u64,
    /// The template of that.
    pub template: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Timestamp,
    /// Slots that completed.
    pub completed: u32,
    /// How it ended.
    pub verdict: RunVerdict,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunVerdict {
    /// Every slot completed.
    Succeeded,
    /// It did not.
    Failed {
        /// Why, in the operator's words.
        reason: String,
    },
    /// An operator stopped it.
    Stopped,
    /// Another run took its place.
    Replaced,
}

impl fmt::Display for RunVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Stopped => f.write_str("was stopped by an operator"),
            Self::Replaced => f.write_str("was replaced by another run"),
        }
    }
}

/// The wait before a new task in a slot where `failures` in a row were seen.
#[must_use]
pub fn wait_after(backoff: Duration, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let doubled = backoff.saturating_mul(2_u32.saturating_pow(doublings.min(16)));
    doubled.min(BACKOFF_LIMIT.max(backoff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_a_longer_one_stays() {
        let waits = |backoff: u64| {
            [0, 1, 2, 3, 6, 7, u32::MAX]
                .map(|failures| wait_after(Duration::from_secs(backoff), failures).as_secs())
        };
        assert_eq!(waits(10), [0, 10, 20, 40, 300, 300, 300]);
        assert_eq!(waits(0), [0; 7]);
        assert_eq!(waits(3_600), [0, 3_600, 3_600, 3_600, 3_600, 3_600, 3_600]);
    }
}
