//! Jobs, their schedules and their runs.

use std::sync::Arc;
use std::time::Duration;

use model::job::{
    ACTIVE_LIMIT, Completions, Job, KEEP_LIMIT, Keep, OWED_LIMIT, PastRun, RETRIES_LIMIT, Run,
    RunCause, RunVerdict, Runs,
};
use model::schedule::{CATCH_UP_MOST, CatchUp, Overlap, Schedule};
use model::service::Generation;
use model::spec::{Mode, REPLICAS_LIMIT};
use model::time::Timestamp;

use crate::convert::checks::{count, duration, few, millis, seen};
use crate::convert::{At, Invalid, Valid, generation_from_wire, generation_to_wire};
use crate::wire;

fn within(path: &str, number: u32, least: u32, most: u32) -> Valid<u32> {
    if !(least..=most).contains(&number) {
        return Err(Invalid::new(path, format!("{number} is not from {least} to {most}")));
    }
    Ok(number)
}

pub(super) fn job_from_wire(from: &wire::Job) -> Valid<Job> {
    use wire::job::Completions as Wire;
    let completions = match from.completions.as_ref().at("mode.job.completions")? {
        Wire::Count(count) => {
            Completions::Count(within("mode.job.count", *count, 1, REPLICAS_LIMIT)?)
        }
        Wire::EveryNode(_) => Completions::EveryNode,
    };
    let deadline = from.deadline_ms.map(|millis| duration("mode.job.deadline", millis));
    let deadline = deadline.transpose()?;
    if deadline.is_some_and(|deadline| deadline.is_zero()) {
        let why = "is 0: every run would fail before it has begun";
        return Err(Invalid::new("mode.job.deadline", why));
    }
    Ok(Job {
        completions,
        parallelism: within("mode.job.parallelism", from.parallelism, 1, REPLICAS_LIMIT)?,
        retries: within("mode.job.retries", from.retries, 0, RETRIES_LIMIT)?,
        backoff: duration("mode.job.backoff", from.backoff_ms)?,
        deadline,
        keep: Keep {
            succeeded: within("mode.job.keep_succeeded", from.keep_succeeded, 1, KEEP_LIMIT)?,
            failed: within("mode.job.keep_failed", from.keep_failed, 1, KEEP_LIMIT)?,
        },
    })
}

pub(super) fn job_to_wire(job: &Job) -> wire::Job {
    use wire::job::Completions as Wire;
    wire::Job {
        completions: Some(match job.completions {
            Completions::Count(count) => Wire::Count(count),
            Completions::EveryNode => Wire::EveryNode(wire::EveryNode {}),
        }),
        parallelism: job.parallelism,
        retries: job.retries,
        backoff_ms: millis(job.backoff),
        deadline_ms: job.deadline.map(millis),
        keep_succeeded: job.keep.succeeded,
        keep_failed: job.keep.failed,
    }
}

pub(super) fn schedule_from_wire(
    from: Option<&wire::Schedule>,
    mode: Mode,
) -> Valid<Option<Schedule>> {
    let Some(from) = from else { return Ok(None) };
    if !matches!(mode, Mode::Job(_)) {
        return Err(Invalid::new("schedule", "is only for a job, and the mode is another"));
    }
    let overlap = match from.overlap() {
        wire::Overlap::Forbid => Overlap::Forbid,
        wire::Overlap::Allow => Overlap::Allow,
        wire::Overlap::Replace => Overlap::Replace,
        wire::Overlap::Unspecified => return None.at("schedule.overlap"),
    };
    let window = || -> Valid<Duration> {
        let window = duration("schedule.catch_up_within", from.catch_up_within_ms)?;
        if window.is_zero() || window > CATCH_UP_MOST {
            let why = "is not longer than nothing and at most a week";
            return Err(Invalid::new("schedule.catch_up_within", why));
        }
        Ok(window)
    };
    let catch_up = match from.catch_up() {
        wire::CatchUp::None => CatchUp::None,
        wire::CatchUp::Last => CatchUp::Last { within: window()? },
        wire::CatchUp::All => CatchUp::All { within: window()? },
        wire::CatchUp::Unspecified => return None.at("schedule.catch_up"),
    };
    let recurrence = from.recurrence.parse();
    let recurrence = recurrence.map_err(|error: model::schedule::RecurrenceError| {
        Invalid::new("schedule.recurrence", shown(&error.to_string()))
    });
    let zone = from.time_zone.parse();
    let zone = zone.map_err(|error: model::schedule::ZoneError| {
        Invalid::new("schedule.time_zone", shown(&error.to_string()))
    });
    Ok(Some(Schedule { recurrence: recurrence?, zone: zone?, overlap, catch_up }))
}

/// What repeats a text that was sent, with what hides in it made visible.
pub(super) fn shown(why: &str) -> String {
    why.chars().flat_map(|letter| letter.escape_debug()).collect()
}

pub(super) fn schedule_to_wire(schedule: &Schedule) -> wire::Schedule {
    let overlap = match schedule.overlap {
        Overlap::Forbid => wire::Overlap::Forbid,
        Overlap::Allow => wire::Overlap::Allow,
        Overlap::Replace => wire::Overlap::Replace,
    };
    let (catch_up, within) = match schedule.catch_up {
        CatchUp::None => (wire::CatchUp::None, Duration::ZERO),
        CatchUp::Last { within } => (wire::CatchUp::Last, within),
        CatchUp::All { within } => (wire::CatchUp::All, within),
    };
    wire::Schedule {
        recurrence: schedule.recurrence.to_string(),
        time_zone: schedule.zone.to_string(),
        overlap: overlap.into(),
        catch_up: catch_up.into(),
        catch_up_within_ms: millis(within),
    }
}

/// Reads the runs of a service with this target.
pub(super) fn runs_from_wire(from: Option<&wire::Runs>, target: &Generation) -> Valid<Runs> {
    let Some(from) = from else { return Ok(Runs::default()) };
    let last = count("runs.last", from.last)?;
    few("runs.active", from.active.len())?;
    few("runs.past", from.past.len())?;
    if from.active.len() > ACTIVE_LIMIT {
        let why = format!("are {} of {ACTIVE_LIMIT} allowed", from.active.len());
        return Err(Invalid::new("runs.active", why));
    }
    if !from.active.is_empty() && !matches!(target.spec.mode, Mode::Job(_)) {
        let why = "are in progress, and the mode of the target is no job";
        return Err(Invalid::new("runs.active", why));
    }
    let active = from
        .active
        .iter()
        .map(|run| run_from_wire(run, target).map_err(|invalid| invalid.within("runs.active")));
    let active: Vec<Run> = active.collect::<Valid<_>>()?;
    let past = from
        .past
        .iter()
        .map(|run| past_run_from_wire(run).map_err(|invalid| invalid.within("runs.past")));
    let past: Vec<PastRun> = past.collect::<Valid<_>>()?;
    in_order("runs.active.number", active.iter().map(|run| run.number), last)?;
    in_order("runs.past.number", past.iter().map(|run| run.number), last)?;
    if let Some(run) = past.iter().find(|past| active.iter().any(|run| run.number == past.number)) {
        let why = format!("run {} is in progress and over, active and past", run.number);
        return Err(Invalid::new("runs.past.number", why));
    }
    // A later version may have remembered more: the newest are kept.
    let excess = from.owed_ms.len().saturating_sub(OWED_LIMIT);
    let owed = from.owed_ms.iter().skip(excess).map(|at| Timestamp::from_millis(*at));
    Ok(Runs {
        last,
        active,
        past,
        dealt_until: Timestamp::from_millis(from.dealt_until_ms),
        owed: owed.collect(),
        skipped: count("runs.skipped", from.skipped)?,
        is_suspended: from.suspended,
    })
}

fn in_order(path: &str, numbers: impl Iterator<Item = u64>, last: u64) -> Valid<()> {
    let mut before = 0;
    for number in numbers {
        if number <= before || number > last {
            let why = format!("{number} comes after {before}, and {last} is the last");
            return Err(Invalid::new(path, why));
        }
        before = number;
    }
    Ok(())
}

fn run_from_wire(from: &wire::Run, target: &Generation) -> Valid<Run> {
    let generation = generation_from_wire(from.generation.as_ref().at("generation")?)?;
    if generation.spec.id != target.spec.id {
        let (id, of) = (&generation.spec.id, &target.spec.id);
        let why = format!("is of {id}, and the target of {of}");
        return Err(Invalid::new("generation.spec", why));
    }
    if generation.number > target.number {
        let why = format!("{} is above that of the target", generation.number);
        return Err(Invalid::new("generation.number", why));
    }
    if !matches!(generation.spec.mode, Mode::Job(_)) {
        return Err(Invalid::new("generation.spec.mode", "is not that of a job"));
    }
    Ok(Run {
        number: count("number", from.number)?,
        cause: cause_from_wire(from.cause.as_ref())?,
        generation: Arc::new(generation),
        started_at: Timestamp::from_millis(from.started_at_ms),
        done: within("done", from.done, 0, REPLICAS_LIMIT)?,
    })
}

fn past_run_from_wire(from: &wire::PastRun) -> Valid<PastRun> {
    let verdict = match from.verdict() {
        wire::RunVerdict::Succeeded => RunVerdict::Succeeded,
        wire::RunVerdict::Failed => RunVerdict::Failed { reason: seen(&from.reason) },
        wire::RunVerdict::Stopped => RunVerdict::Stopped,
        wire::RunVerdict::Replaced => RunVerdict::Replaced,
        wire::RunVerdict::Unspecified => return None.at("verdict"),
    };
    Ok(PastRun {
        number: count("number", from.number)?,
        cause: cause_from_wire(from.cause.as_ref())?,
        generation: count("generation", from.generation)?,
        template: count("template", from.template)?,
        started_at: Timestamp::from_millis(from.started_at_ms),
        ended_at: Timestamp::from_millis(from.ended_at_ms),
        completed: from.completed,
        verdict,
    })
}

fn cause_from_wire(from: Option<&wire::RunCause>) -> Valid<RunCause> {
    use wire::run_cause::Kind;
    Ok(match from.and_then(|cause| cause.kind.as_ref()).at("cause")? {
        Kind::Deployed(_) => RunCause::Deployed,
        Kind::DueMs(at) => RunCause::Due(Timestamp::from_millis(*at)),
        Kind::Asked(_) => RunCause::Asked,
    })
}

fn cause_to_wire(cause: RunCause) -> wire::RunCause {
    use wire::run_cause::Kind;
    let kind = match cause {
        RunCause::Deployed => Kind::Deployed(wire::Deployed {}),
        RunCause::Due(at) => Kind::DueMs(at.as_millis()),
        RunCause::Asked => Kind::Asked(wire::Asked {}),
    };
    wire::RunCause { kind: Some(kind) }
}

/// Writes the runs of a service. One that never was a job has none.
pub(super) fn runs_to_wire(runs: &Runs) -> Option<wire::Runs> {
    if *runs == Runs::default() {
        return None;
    }
    let active = runs.active.iter().map(|run| wire::Run {
        number: run.number,
        cause: Some(cause_to_wire(run.cause)),
        generation: Some(generation_to_wire(&run.generation)),
        started_at_ms: run.started_at.as_millis(),
        done: run.done,
    });
    Some(wire::Runs {
        last: runs.last,
        active: active.collect(),
        past: runs.past.iter().map(past_run_to_wire).collect(),
        dealt_until_ms: runs.dealt_until.as_millis(),
        owed_ms: runs.owed.iter().map(|at| at.as_millis()).collect(),
        skipped: runs.skipped,
        suspended: runs.is_suspended,
    })
}

fn past_run_to_wire(run: &PastRun) -> wire::PastRun {
    let (verdict, reason) = match &run.verdict {
        RunVerdict::Succeeded => (wire::RunVerdict::Succeeded, String::new()),
        RunVerdict::Failed { reason } => (wire::RunVerdict::Failed, reason.clone()),
        RunVerdict::Stopped => (wire::RunVerdict::Stopped, String::new()),
        RunVerdict::Replaced => (wire::RunVerdict::Replaced, String::new()),
    };
    wire::PastRun {
        number: run.number,
        cause: Some(cause_to_wire(run.cause)),
        generation: run.generation,
        template: run.template,
        started_at_ms: run.started_at.as_millis(),
        ended_at_ms: run.ended_at.as_millis(),
        completed: run.completed,
        verdict: verdict.into(),
        reason,
    }
}
