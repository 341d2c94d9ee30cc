//! Which times of a schedule begin a run.
//!
//! Each time is dealt with once, in the order of the clock: what has been dealt with is written down with the run, so that a
//! clock that is set back, or another coordinator, deals with none of them again.

use std::time::Duration;

use model::job::{ACTIVE_LIMIT, OWED_LIMIT, RunCause, RunVerdict};
use model::schedule::{CatchUp, Overlap};
use model::service::Service;
use model::time::Timestamp;

use super::advance::{begin, end_all};
use crate::cluster::Cluster;

/// What begins within a minute is on time: a takeover takes less.
const ON_TIME: Duration = Duration::from_secs(60);

pub(super) fn pass(cluster: &Cluster, service: &mut Service, now: Timestamp) {
    let Some(schedule) = service.target.spec.schedule.clone() else { return };
    let runs = &mut service.runs;
    if runs.is_suspended {
        return;
    }
    let mut passed = schedule.newest(runs.dealt_until, now, OWED_LIMIT + 1);
    runs.dealt_until = passed.last().copied().unwrap_or(runs.dealt_until);
    let on_time = passed.pop_if(|newest| now.since(*newest) <= ON_TIME);
    // What begins now is newer than all that was missed.
    let begins = on_time.is_some()
        && (schedule.overlap != Overlap::Forbid || service.runs.active.is_empty());
    let most = if begins { 0 } else { 1 };
    owe(service, passed, (schedule.catch_up, most, now));
    match schedule.overlap {
        Overlap::Forbid => one_after_the_other(service, (on_time, schedule.catch_up), now),
        Overlap::Allow => side_by_side(service, on_time, now),
        Overlap::Replace => {
            let newest = on_time.or(service.runs.owed.pop());
            service.runs.skipped += skipped(service.runs.owed.len());
            service.runs.owed.clear();
            if let Some(at) = newest {
                end_all(cluster, service, (&RunVerdict::Replaced, now), |_| true);
                begin(service, RunCause::Due(at), now);
            }
        }
    }
}

/// When the first of the times that were missed is too old to have its run.
pub(super) fn forgets_at(service: &Service) -> Option<Timestamp> {
    let schedule = service.target.spec.schedule.as_ref().filter(|_| !service.runs.is_suspended)?;
    let within = match schedule.catch_up {
        CatchUp::None => return None,
        CatchUp::Last { within } | CatchUp::All { within } => within,
    };
    // At the end of its time it still has it.
    service.runs.owed.first().map(|at| *at + within + Duration::from_millis(1))
}

fn skipped(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Writes down which of the times that were missed still have their runs, and forgets those that are too old by now. Where
/// only the last is caught up that is `last`: none or one.
fn owe(
    service: &mut Service,
    missed: Vec<Timestamp>,
    (catch_up, last, now): (CatchUp, usize, Timestamp),
) {
    let runs = &mut service.runs;
    let known = missed.len() + runs.owed.len();
    let (most, within) = match catch_up {
        CatchUp::None => (0, Duration::ZERO),
        CatchUp::Last { within } => (last, within),
        CatchUp::All { within } => (OWED_LIMIT, within),
    };
    runs.owed.extend(missed);
    runs.owed.retain(|at| now.since(*at) <= within);
    let excess = runs.owed.len().saturating_sub(most);
    runs.owed.drain(..excess);
    runs.skipped += skipped(known - runs.owed.len());
}

fn one_after_the_other(
    service: &mut Service,
    (on_time, catch_up): (Option<Timestamp>, CatchUp),
    now: Timestamp,
) {
    let is_free = service.runs.active.is_empty();
    match on_time {
        Some(at) if is_free && service.runs.owed.is_empty() => {
            return begin(service, RunCause::Due(at), now);
        }
        Some(at) if is_catching_up(service) => line_up(service, at, catch_up),
        Some(_) => service.runs.skipped += 1,
        None => {}
    }
    if is_free && !service.runs.owed.is_empty() {
        let at = service.runs.owed.remove(0);
        begin(service, RunCause::Due(at), now);
    }
}

/// Says whether what is in progress, or waits for that, is late itself: then it is not for long runs that a time finds no place.
fn is_catching_up(service: &Service) -> bool {
    let is_late = |cause: RunCause, since: Timestamp| match cause {
        RunCause::Due(at) => since.since(at) > ON_TIME,
        RunCause::Deployed | RunCause::Asked => false,
    };
    let mut active = service.runs.active.iter();
    !service.runs.owed.is_empty() || active.any(|run| is_late(run.cause, run.started_at))
}

/// A time that comes while all others are caught up is behind them, as if it had been missed with them.
fn line_up(service: &mut Service, at: Timestamp, catch_up: CatchUp) {
    let runs = &mut service.runs;
    match catch_up {
        CatchUp::All { .. } if runs.owed.len() < OWED_LIMIT => runs.owed.push(at),
        CatchUp::All { .. } | CatchUp::Last { .. } | CatchUp::None => runs.skipped += 1,
    }
}

fn side_by_side(service: &mut Service, on_time: Option<Timestamp>, now: Timestamp) {
    let room = ACTIVE_LIMIT.saturating_sub(service.runs.active.len());
    let begun = room.min(service.runs.owed.len());
    let late: Vec<Timestamp> = service.runs.owed.drain(..begun).collect();
    late.into_iter().for_each(|at| begin(service, RunCause::Due(at), now));
    match on_time {
        Some(at) if begun < room => begin(service, RunCause::Due(at), now),
        Some(_) => service.runs.skipped += 1,
        None => {}
    }
}
