//! What operators ask of jobs: written down as it is heard, or refused.

use model::id::ServiceId;
use model::job::{ACTIVE_LIMIT, RunCause, RunVerdict};
use model::service::Service;

use super::fill::overlaps;
use super::{advance, terms};
use crate::draft::Draft;
use crate::event::{JobOrder, Refusal, Reply};
use crate::request::check_stays;

/// Takes an order for a job.
pub(crate) fn take(
    draft: &mut Draft<'_>,
    id: &ServiceId,
    order: JobOrder,
) -> Result<Reply, Refusal> {
    let service = draft.cluster.services().get(id).cloned();
    let service = service.ok_or_else(|| Refusal::NoService(id.clone()))?;
    check_stays(&service)?;
    if terms(service.target.spec.mode).is_none() {
        return Err(Refusal::NotJob(id.clone()));
    }
    let mut next = (*service).clone();
    match order {
        JobOrder::Run => run(draft, &mut next)?,
        JobOrder::Stop => stop(draft, &mut next)?,
        JobOrder::Suspend | JobOrder::Resume => set(draft, &mut next, order)?,
    }
    let number = next.runs.last;
    if next != *service {
        draft.put_service(next);
    }
    Ok(Reply::Run { number })
}

/// A run in progress is not doubled: an operator who wants another at its place stops it first.
fn run(draft: &Draft<'_>, service: &mut Service) -> Result<(), Refusal> {
    let runs = &service.runs.active;
    let has_room = runs.is_empty() || overlaps(&service.target) && runs.len() < ACTIVE_LIMIT;
    if let Some(run) = runs.last().filter(|_| !has_room) {
        return Err(Refusal::RunInProgress(service.id.clone(), run.number));
    }
    advance::begin(service, RunCause::Asked, draft.now);
    Ok(())
}

fn stop(draft: &Draft<'_>, service: &mut Service) -> Result<(), Refusal> {
    if service.runs.active.is_empty() {
        return Err(Refusal::NoRun(service.id.clone()));
    }
    let stopped = (&RunVerdict::Stopped, draft.now);
    advance::end_all(draft.cluster, service, stopped, |_| true);
    Ok(())
}

/// What would have been due meanwhile is not caught up. To resume also takes the clock as it is now: where one was once
/// set far ahead, that is how its times are due again.
fn set(draft: &Draft<'_>, service: &mut Service, order: JobOrder) -> Result<(), Refusal> {
    let is_suspended = match order {
        JobOrder::Suspend => true,
        JobOrder::Resume | JobOrder::Run | JobOrder::Stop => false,
    };
    if service.target.spec.schedule.is_none() {
        return Err(Refusal::NoSchedule(service.id.clone()));
    }
    if service.runs.is_suspended != is_suspended {
        service.runs.is_suspended = is_suspended;
        service.runs.owed.clear();
        service.runs.dealt_until = draft.now;
    }
    Ok(())
}
