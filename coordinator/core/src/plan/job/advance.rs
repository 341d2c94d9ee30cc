//! Which runs are in progress: those that are over are remembered, and those begin whose time has come.

use std::sync::Arc;

use model::job::{Keep, PastRun, Run, RunCause, RunVerdict, Runs};
use model::rollout::{Rollout, Stage};
use model::service::{Generation, Origin, Service, ServicePhase};
use model::time::Timestamp;

use super::progress::{self, Tally};
use super::{due, terms, terms_of};
use crate::absorb::touch_dependents;
use crate::cluster::Cluster;
use crate::draft::Draft;
use crate::plan::depend;

/// So many completed slots are written down at once, so that not each of a hundred thousand is a write of the service.
const WRITTEN_AT_ONCE: u32 = 100;

/// Gives the service as it is then. It is written at most once.
pub(super) fn pass(draft: &mut Draft<'_>, service: &Arc<Service>) -> Arc<Service> {
    let now = draft.now;
    let mut next = (**service).clone();
    judge(draft.cluster, &mut next, now);
    deploy(draft.cluster, &mut next, now);
    due::pass(draft.cluster, &mut next, now);
    next.phase = phase(&next, now);
    if next == **service {
        return Arc::clone(service);
    }
    let next = Arc::new(next);
    draft.put_service((*next).clone());
    touch_dependents(draft, &next.id);
    next
}

/// Ends the runs that are over.
fn judge(cluster: &Cluster, service: &mut Service, now: Timestamp) {
    for run in std::mem::take(&mut service.runs.active) {
        let tally = progress::tally(cluster, &service.id, &run);
        match verdict(&run, &tally, now) {
            Some(verdict) => end(service, (&run, tally.completed), verdict, now),
            None if tally.done >= run.done + WRITTEN_AT_ONCE => {
                service.runs.active.push(Run { done: tally.done, ..run });
            }
            None => service.runs.active.push(run),
        }
    }
}

fn verdict(run: &Run, tally: &Tally, now: Timestamp) -> Option<RunVerdict> {
    if tally.is_complete() {
        return Some(RunVerdict::Succeeded);
    }
    if let Some(reason) = tally.failure.clone() {
        return Some(RunVerdict::Failed { reason });
    }
    let deadline = terms_of(run)?.deadline?;
    (deadline_of(run)? <= now).then(|| RunVerdict::Failed {
        reason: format!("it was not done within its deadline of {} s", deadline.as_secs()),
    })
}

/// When the run has taken too long, if it can.
pub(super) fn deadline_of(run: &Run) -> Option<Timestamp> {
    Some(run.started_at + terms_of(run)?.deadline?)
}

/// Remembers a run that is over.
fn end(service: &mut Service, (run, completed): (&Run, u32), verdict: RunVerdict, now: Timestamp) {
    if verdict == RunVerdict::Succeeded {
        service.stable = Some(Arc::clone(&run.generation));
    }
    service.runs.past.push(PastRun {
        number: run.number,
        cause: run.cause,
        generation: run.generation.number,
        template: run.generation.template,
        started_at: run.started_at,
        ended_at: now,
        completed,
        verdict,
    });
    service.runs.past.sort_by_key(|run| run.number);
    let keep = terms(service.target.spec.mode).map(|job| job.keep).unwrap_or_default();
    trim(&mut service.runs, keep);
}

fn trim(runs: &mut Runs, keep: Keep) {
    let (mut succeeded, mut others) = (keep.succeeded, keep.failed);
    let mut kept: Vec<PastRun> = std::mem::take(&mut runs.past).into_iter().rev().collect();
    kept.retain(|run| {
        let left = match run.verdict {
            RunVerdict::Succeeded => &mut succeeded,
            RunVerdict::Failed { .. } | RunVerdict::Stopped | RunVerdict::Replaced => &mut others,
        };
        let is_kept = *left > 0;
        *left = left.saturating_sub(1);
        is_kept
    });
    kept.reverse();
    runs.past = kept;
}

/// Ends what is in progress in the same way.
pub(super) fn end_all(
    cluster: &Cluster,
    service: &mut Service,
    (verdict, now): (&RunVerdict, Timestamp),
    is_meant: impl Fn(&Run) -> bool,
) {
    for run in std::mem::take(&mut service.runs.active) {
        if is_meant(&run) {
            let completed = progress::tally(cluster, &service.id, &run).completed;
            end(service, (&run, completed), verdict.clone(), now);
        } else {
            service.runs.active.push(run);
        }
    }
}

/// Begins a run of the target.
pub(super) fn begin(service: &mut Service, cause: RunCause, now: Timestamp) {
    let runs = &mut service.runs;
    runs.last += 1;
    runs.skipped = 0;
    runs.active.push(Run {
        number: runs.last,
        cause,
        generation: Arc::clone(&service.target),
        started_at: now,
        done: 0,
    });
}

/// A job that was deployed runs, unless it has a schedule: then it waits for its time.
fn deploy(cluster: &Cluster, service: &mut Service, now: Timestamp) {
    match service.phase {
        ServicePhase::Rolling { .. } => {}
        ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => return,
    }
    adopt(&mut service.runs, &service.target);
    let has_schedule = service.target.spec.schedule.is_some();
    let is_restarted = service.target.origin == Origin::Restarted;
    if has_schedule && !is_restarted {
        return;
    }
    let (template, replaced) = (service.target.template, (&RunVerdict::Replaced, now));
    end_all(cluster, service, replaced, |run| run.generation.template != template);
    let is_free = has_schedule || depend::is_free(cluster, service);
    if is_free && outcome(service).is_none() {
        let cause = if is_restarted { RunCause::Asked } else { RunCause::Deployed };
        begin(service, cause, now);
    }
}

/// What is in progress goes on with the terms of a newer generation that runs the same.
fn adopt(runs: &mut Runs, target: &Arc<Generation>) {
    for run in &mut runs.active {
        let slots_alike = terms(target.spec.mode).zip(terms_of(run)).is_some_and(|(new, old)| {
            std::mem::discriminant(&new.completions) == std::mem::discriminant(&old.completions)
        });
        if run.generation.template == target.template && slots_alike {
            run.generation = Arc::clone(target);
        }
    }
}

/// How the target has come out, if it is known: in progress, well, or badly.
enum Outcome<'a> {
    Active,
    Good,
    Bad(&'a PastRun),
}

/// A target that has failed is not run again by itself, and the next one is, also when it asks for the same.
fn outcome(service: &Service) -> Option<Outcome<'_>> {
    let Generation { number, template, .. } = *service.target;
    if service.runs.active.iter().any(|run| run.generation.template == template) {
        return Some(Outcome::Active);
    }
    let newest = service.runs.past.last().filter(|run| run.template == template)?;
    match newest.verdict {
        RunVerdict::Succeeded => Some(Outcome::Good),
        RunVerdict::Failed { .. } | RunVerdict::Stopped | RunVerdict::Replaced => {
            (newest.generation == number).then_some(Outcome::Bad(newest))
        }
    }
}

/// A job with a schedule is where it should be as soon as it is accepted.
fn phase(service: &Service, now: Timestamp) -> ServicePhase {
    if service.target.spec.schedule.is_some() {
        return ServicePhase::Steady;
    }
    match (outcome(service), &service.phase) {
        (Some(Outcome::Active), rolling @ ServicePhase::Rolling(_)) => rolling.clone(),
        (Some(Outcome::Active), _) => ServicePhase::Rolling(Rollout::new(now)),
        (Some(Outcome::Good), _) => ServicePhase::Steady,
        (Some(Outcome::Bad(run)), _) => {
            let PastRun { number, verdict, .. } = run;
            let reason = format!("run {number} {verdict}; deploy again, or `wharf job run` it");
            ServicePhase::Halted { reason, stage: Stage::Everywhere }
        }
        (None, phase) => phase.clone(),
    }
}
