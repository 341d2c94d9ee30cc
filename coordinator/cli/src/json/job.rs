//! Jobs and their runs, as JSON.

use proto::wire;
use serde_json::{Value, json};

use crate::output::instant;

/// When its runs begin by themselves.
pub(super) fn schedule(spec: &wire::ServiceSpec) -> Value {
    let Some(schedule) = &spec.schedule else { return Value::Null };
    let overlap = match schedule.overlap() {
        wire::Overlap::Forbid => "forbid",
        wire::Overlap::Allow => "allow",
        wire::Overlap::Replace => "replace",
        wire::Overlap::Unspecified => "unknown",
    };
    let catch_up = match schedule.catch_up() {
        wire::CatchUp::None => "none",
        wire::CatchUp::Last => "last",
        wire::CatchUp::All => "all",
        wire::CatchUp::Unspecified => "unknown",
    };
    json!({
        "cron": schedule.recurrence,
        "time_zone": schedule.time_zone,
        "overlap": overlap,
        "catch_up": catch_up,
        "catch_up_within_seconds": schedule.catch_up_within_ms / 1_000,
    })
}

/// What a job wants of its runs.
fn terms(job: &wire::Job) -> Value {
    let completions = match &job.completions {
        Some(wire::job::Completions::Count(count)) => Some(*count),
        Some(wire::job::Completions::EveryNode(_)) | None => None,
    };
    json!({
        "completions": completions,
        "parallelism": job.parallelism,
        "retries": job.retries,
        "backoff_ms": job.backoff_ms,
        "deadline_ms": job.deadline_ms,
    })
}

pub(crate) fn cause(cause: Option<&wire::RunCause>) -> String {
    use wire::run_cause::Kind;
    match cause.and_then(|cause| cause.kind.as_ref()) {
        Some(Kind::Deployed(_)) => "deployed".to_owned(),
        Some(Kind::DueMs(_)) => "due".to_owned(),
        Some(Kind::Asked(_)) => "asked".to_owned(),
        None => "unknown".to_owned(),
    }
}

fn due_at(cause: Option<&wire::RunCause>) -> Value {
    match cause.and_then(|cause| cause.kind.as_ref()) {
        Some(wire::run_cause::Kind::DueMs(at)) => instant(*at),
        Some(_) | None => Value::Null,
    }
}

pub(crate) fn verdict(run: &wire::PastRun) -> &'static str {
    match run.verdict() {
        wire::RunVerdict::Succeeded => "succeeded",
        wire::RunVerdict::Failed => "failed",
        wire::RunVerdict::Stopped => "stopped",
        wire::RunVerdict::Replaced => "replaced",
        wire::RunVerdict::Unspecified => "unknown",
    }
}

pub(crate) fn past_run(run: &wire::PastRun) -> Value {
    json!({
        "run": run.number,
        "state": verdict(run),
        "cause": cause(run.cause.as_ref()),
        "due_at": due_at(run.cause.as_ref()),
        "generation": run.generation,
        "started_at": instant(run.started_at_ms),
        "ended_at": instant(run.ended_at_ms),
        "completed": run.completed,
        "reason": run.reason,
    })
}

pub(crate) fn active_run(run: &wire::Run) -> Value {
    json!({
        "run": run.number,
        "state": "running",
        "cause": cause(run.cause.as_ref()),
        "due_at": due_at(run.cause.as_ref()),
        "generation": run.generation.as_ref().map(|generation| generation.number),
        "started_at": instant(run.started_at_ms),
        "ended_at": Value::Null,
        "completed": Value::Null,
        "reason": "",
    })
}

/// Everything about a service that only a job has.
pub(super) fn job(view: &wire::ServiceView, spec: &wire::ServiceSpec) -> Value {
    let (Some(job), Some(wire::service_spec::Mode::Job(wanted))) = (view.job, &spec.mode) else {
        return Value::Null;
    };
    let runs = view.service.as_ref().and_then(|service| service.runs.clone()).unwrap_or_default();
    let past = runs.past.iter().map(past_run);
    json!({
        "completed": job.completed,
        "wanted": job.wanted,
        "next_at": job.next_at_ms.map(instant),
        "suspended": runs.suspended,
        "skipped": runs.skipped,
        "terms": terms(wanted),
        "runs": past.chain(runs.active.iter().map(active_run)).collect::<Vec<_>>(),
    })
}
