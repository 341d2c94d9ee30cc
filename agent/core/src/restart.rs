//! When a container that ended is started again.

use std::time::Duration;

use model::id::TaskId;
use model::spec::{RestartCondition, RestartPolicy};
use model::task::Exit;
use model::time::Timestamp;

use crate::unit::{Part, Unit};

/// No wait between restarts is longer: Kubernetes and Docker draw the line at about the same place.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A container that ran for so long has worked: its next end starts the count anew.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// What the end of a container means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is started again, at this time.
    Again(Timestamp),
    /// It has done its work.
    Finished,
    /// It is over, and the task with it.
    Broken,
}

/// Judges the end of a part.
pub(crate) fn judge(unit: &Unit, part: &Part, exit: &Exit) -> Verdict {
    let policy = unit.assignment.spec.restart;
    let is_good = exit.code == 0 && !exit.is_oom;
    if is_good && (unit.prepares(&part.name) || unit.assignment.is_once) {
        return Verdict::Finished;
    }
    let ended = if is_good { Verdict::Finished } else { Verdict::Broken };
    if unit.assignment.is_once {
        return ended;
    }
    let again = match policy.condition {
        RestartCondition::Never => false,
        RestartCondition::OnFailure => !is_good,
        RestartCondition::Any => true,
    };
    let is_exhausted = policy.max_attempts.is_some_and(|most| part.attempt > most);
    if !again || is_exhausted {
        return ended;
    }
    let streak = if ran(part, exit) >= GOOD_RUN { 0 } else { part.streak };
    Verdict::Again(exit.at + wait(&policy, streak, &unit.assignment.task))
}

/// How long the container ran, by the clock of the engine that measured both ends.
pub(crate) fn ran(part: &Part, exit: &Exit) -> Duration {
    let started = part.seen.as_ref().and_then(|seen| seen.started_at);
    started.map_or(Duration::ZERO, |started| exit.at.since(started))
}

/// The streak after one more end.
pub(crate) fn next_streak(part: &Part, exit: &Exit) -> u32 {
    if ran(part, exit) >= GOOD_RUN { 1 } else { part.streak.saturating_add(1) }
}

/// Nothing before the first restart, then the policy's delay, doubled each time. A tenth more or less, drawn from the
/// task's name, keeps tasks that fell together from rising together.
fn wait(policy: &RestartPolicy, streak: u32, task: &TaskId) -> Duration {
    let Some(doublings) = streak.checked_sub(1) else { return Duration::ZERO };
    let wait =
        policy.delay.saturating_mul(2_u32.saturating_pow(doublings.min(16))).min(LONGEST_WAIT);
    wait * (90 + spread(task, streak) % 21) / 100
}

/// The wait before an order is tried again that the engine or a registry did not carry out: from one second, doubled, up
/// to a minute.
pub(crate) fn retry_wait(faults: u32, task: &TaskId) -> Duration {
    let doubled = 2_u64.saturating_pow(faults.saturating_sub(1).min(6)).min(60);
    Duration::from_millis(doubled * 10 * u64::from(90 + spread(task, faults) % 21))
}

/// FNV-1a, for want of chance.
fn spread(task: &TaskId, salt: u32) -> u32 {
    let bytes = task.as_str().bytes().chain(salt.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_waits_double_up_to_five_minutes() {
        let policy = RestartPolicy {
            condition: RestartCondition::Any,
            max_attempts: None,
            delay: Duration::from_secs(10),
        };
        let task: TaskId = "a.b.1.1".parse().unwrap();
        assert_eq!(wait(&policy, 0, &task), Duration::ZERO);
        for (streak, seconds) in [(1, 10), (2, 20), (3, 40), (6, 300), (40, 300), (u32::MAX, 300)] {
            let wait = wait(&policy, streak, &task).as_secs();
            assert!((seconds * 9 / 10..=seconds * 11 / 10).contains(&wait), "{streak}: {wait}");
        }
    }

    #[test]
    fn two_tasks_do_not_wait_equally_long() {
        let waits: std::collections::BTreeSet<_> =
            (0..20).map(|n| retry_wait(5, &format!("a.b.1.{n}").parse().unwrap())).collect();
        assert!(waits.len() > 5, "{waits:?}");
    }
}
