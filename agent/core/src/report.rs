//! What is told to the coordinator.

use std::time::Duration;

use model::spec::ContainerSpec;
use model::task::{ContainerStatus, TaskState};
use model::time::Timestamp;

use crate::event::Report;
use crate::health;
use crate::observed::{Container, Status};
use crate::unit::{Part, Unit};
use crate::workload::Workload;

/// Everything is said again so often: what got lost, and orphans that the coordinator could not judge when it was asked.
const RESYNC: Duration = Duration::from_secs(60);

/// The tasks of which there is more to say than was said last, or all when it is time.
pub(crate) fn news(workload: &mut Workload, now: Timestamp) -> Vec<Report> {
    let is_due = now.since(workload.said_at) >= RESYNC;
    if is_due {
        workload.said_at = now;
    }
    let mut news = Vec::new();
    for unit in workload.units.values_mut() {
        let report = report(unit);
        if is_due || unit.reported.as_ref() != Some(&report) {
            unit.reported = Some(report.clone());
            news.push(report);
        }
    }
    news
}

/// When everything is to be said again, if there is anything to say.
pub(crate) fn wake_at(workload: &Workload) -> Option<Timestamp> {
    (!workload.units.is_empty()).then(|| workload.said_at + RESYNC)
}

pub(crate) fn report(unit: &Unit) -> Report {
    let parts = unit.parts.iter().zip(&unit.assignment.spec.containers);
    Report {
        task: unit.assignment.task.clone(),
        state: unit.state.clone(),
        restarts: unit.restarts(),
        note: note(unit),
        containers: parts.map(|(part, spec)| status(part, spec)).collect(),
        lease: unit.lease,
    }
}

fn note(unit: &Unit) -> String {
    match &unit.state {
        TaskState::Completed | TaskState::Failed { .. } | TaskState::Lost => String::new(),
        TaskState::Pending
        | TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. } => unit.note.clone(),
    }
}

fn status(part: &Part, spec: &ContainerSpec) -> ContainerStatus {
    let newest = part.seen.as_ref().or_else(|| part.older.last());
    ContainerStatus {
        name: part.name.clone(),
        container_id: newest.map(|seen| seen.id.clone()).unwrap_or_default(),
        attempt: part.attempt,
        started_at: newest.and_then(|seen| seen.started_at),
        exit: newest.and_then(exit_of),
        health: health::of_part(part, spec),
        ports: newest
            .filter(|seen| seen.is_alive())
            .map(|seen| seen.ports.clone())
            .unwrap_or_default(),
    }
}

fn exit_of(container: &Container) -> Option<model::task::Exit> {
    match &container.status {
        Status::Exited(exit) => Some(exit.clone()),
        Status::Created | Status::Running | Status::Paused | Status::Dead => None,
    }
}
