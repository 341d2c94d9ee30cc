//! The accountant for disruption: how many tasks of a service that serve may be taken away now by our own doing.
//!
//! Whoever wants to move a task asks here. Nobody keeps a book: a task that was told to stop does not count from then on,
//! so that whoever asks next, in the same step or a later one, sees what the others have taken. What an operator takes
//! away (fewer replicas, a removal) is not a disruption and does not ask. A failure does not ask either, and counts.

use std::sync::Arc;

use model::id::TaskId;
use model::service::Service;
use model::spec::Mode;
use model::task::Task;

use crate::cluster::Cluster;
use crate::plan::slot;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A newer generation takes the slot.
    Rollout,
    /// The node of the task is being emptied.
    Drain,
    /// A task of a service that matters more needs the room.
    Preemption,
}

/// What a service has and must keep, when it can not give the task away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// Slots of which a task serves.
    pub serving: usize,
    /// How many of them must go on.
    pub least: usize,
}

/// Says whether the task may be taken away now, or what its service must keep.
pub(crate) fn ask(
    cluster: &Cluster,
    service: &Service,
    task: &Task,
    purpose: Purpose,
) -> Result<(), Short> {
    if !costs(cluster, service, (task, &[])) {
        return Ok(());
    }
    let short = balance(cluster, service, purpose);
    if short.serving > short.least { Ok(()) } else { Err(short) }
}

/// How many tasks that serve the service can spare now.
pub(crate) fn spare(cluster: &Cluster, service: &Service, purpose: Purpose) -> usize {
    let Short { serving, least } = balance(cluster, service, purpose);
    serving.saturating_sub(least)
}

fn balance(cluster: &Cluster, service: &Service, purpose: Purpose) -> Short {
    let wanted = slot::wanted(cluster, service);
    let serves = |slot: &&_| cluster.tasks_in(&service.id, slot).iter().any(|task| serves(task));
    let serving = wanted.iter().filter(serves).count();
    Short { serving, least: least(service, wanted.len(), purpose) }
}

/// How many slots that serve are to be left.
fn least(service: &Service, wanted: usize, purpose: Purpose) -> usize {
    let usual = match (purpose, service.target.spec.mode) {
        // As ever: its parallelism is all that limits a rollout.
        (Purpose::Rollout, _) => 0,
        // One of two can be waited for, and one alone can not.
        (Purpose::Drain | Purpose::Preemption, Mode::Replicated { .. }) => usize::from(wanted >= 2),
        (Purpose::Drain | Purpose::Preemption, Mode::Global | Mode::Once | Mode::Job(_)) => 0,
    };
    service.target.spec.budget.least(wanted).unwrap_or(usual)
}

/// Says whether the service has less without the task: it serves, in a slot that is wanted, and alone, once these others of
/// the service are gone.
pub(crate) fn costs(
    cluster: &Cluster,
    service: &Service,
    (task, gone): (&Task, &[&TaskId]),
) -> bool {
    let is_other =
        |other: &&Arc<Task>| other.id != task.id && serves(other) && !gone.contains(&&other.id);
    serves(task)
        && slot::wants(cluster, service, &task.slot)
        && !cluster.tasks_in(&service.id, &task.slot).iter().any(|other| is_other(&other))
}

fn serves(task: &Task) -> bool {
    task.is_wanted() && task.serving_since().is_some()
}
