//! What operators ask of jobs, and how jobs are shown.

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, Reply};
use coordinator_core::view;
use model::service::Service;
use model::time::Timestamp;
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::accepted;
use crate::api::access::Caller;
use crate::api::control::service_id;
use crate::audit::By;
use crate::job_order::job_order_from_wire;

/// So many tasks on silent nodes are named: more than anybody reads.
const SILENT_LIMIT: usize = 20;

pub(crate) async fn take(
    shared: &Shared,
    (caller, by): &(Caller, By),
    request: wire::JobRequest,
) -> Result<wire::JobResponse, Status> {
    let unasked = || Status::invalid_argument("nothing is asked of the job");
    let order = job_order_from_wire(request.order()).ok_or_else(unasked)?;
    let service = service_id(request.service)?;
    caller.may_change(std::slice::from_ref(&service))?;
    match accepted(shared.door.ask_by(by.clone(), Event::Job { service, order }).await)? {
        Reply::Run { number } => Ok(wire::JobResponse { run: number }),
        reply @ (Reply::Noted
        | Reply::Accepted { .. }
        | Reply::Baking(_)
        | Reply::SecretSet(_)
        | Reply::Deployed(_)
        | Reply::Refused(_)) => {
            Err(Status::internal(format!("an answer that does not belong here: {reply:?}")))
        }
    }
}

/// How far a job is.
pub(crate) fn view(cluster: &Cluster, service: &Service) -> Option<wire::JobView> {
    let progress = view::job_progress(cluster, service)?;
    Some(wire::JobView {
        completed: progress.completed,
        wanted: progress.wanted,
        next_at_ms: progress.next_at.map(Timestamp::as_millis),
    })
}

/// How a job is, in a sentence.
pub(crate) fn summary(cluster: &Cluster, service: &Service) -> String {
    let progress = view::job_progress(cluster, service);
    let (done, all) = progress.map(|job| (job.completed, job.wanted)).unwrap_or_default();
    let id = &service.id;
    match (service.runs.active.last(), service.runs.past.last()) {
        (Some(run), _) => {
            format!("{id} is a job: run {} has done {done} of {all}", run.number)
        }
        (None, Some(run)) => format!("{id} is a job: run {} {}", run.number, run.verdict),
        (None, None) => format!("{id} is a job that has not run yet"),
    }
}

/// What there is to say about its schedule and its runs.
pub(crate) fn notes(cluster: &Cluster, service: &Service, now: Timestamp) -> Vec<String> {
    let Some(progress) = view::job_progress(cluster, service) else { return Vec::new() };
    let runs = &service.runs;
    let mut notes = Vec::new();
    for run in &runs.active {
        let seconds = now.since(run.started_at).as_secs();
        notes.push(format!("run {} is in progress since {seconds} s", run.number));
        let silent = view::silent_tasks_of_run(cluster, (service, run.number), now);
        notes.extend(silent.take(SILENT_LIMIT).map(|task| {
            format!("{} is on a node that is silent: it is waited for, and not doubled", task.id)
        }));
    }
    if let Some(run) = runs.past.last() {
        let seconds = now.since(run.ended_at).as_secs();
        notes.push(format!("run {} {}, {seconds} s ago", run.number, run.verdict));
    }
    if runs.is_suspended {
        notes.push("its schedule is suspended: `wharf job resume` lets it go on".to_owned());
    }
    if let Some(at) = progress.next_at {
        let wait = at.since(now).as_secs();
        notes.push(format!("the next run is due at {at}, in {wait} s"));
    }
    if runs.dealt_until > now {
        let until = runs.dealt_until;
        notes.push(format!(
            "times up to {until} count as done: the clock was ahead by then; suspend and resume it to begin now"
        ));
    }
    if !runs.owed.is_empty() {
        notes.push(format!("{} times that were missed still have their runs", runs.owed.len()));
    }
    if runs.skipped > 0 {
        notes.push(format!("{} times had no run since the last that had", runs.skipped));
    }
    notes
}
