//! How far a run has come.

use std::sync::Arc;

use model::id::{NodeId, ServiceId, Slot};
use model::job::{Completions, Run};
use model::node::Availability;
use model::task::{DesiredState, FailureKind, StopCause, Task, TaskState};

use super::terms_of;
use crate::cluster::Cluster;
use crate::plan::place::filter::Seat;
use crate::plan::place::seat;

/// How far a run has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Slots that completed.
    pub(crate) completed: u32,
    /// Slots that have to.
    pub(crate) wanted: u32,
    /// All slots up to this number have completed.
    pub(crate) done: u32,
    /// Tasks of which anything may run.
    pub(crate) live: u32,
    /// Why it can not succeed any more.
    pub(crate) failure: Option<String>,
}

impl Tally {
    /// Says whether every slot has completed. A run on nodes of which there are none has not begun.
    pub(crate) const fn is_complete(&self) -> bool {
        self.completed >= self.wanted && self.wanted > 0
    }
}

/// Says whether a task ended by itself: what was told to stop has proven nothing by ending.
fn ended_by_itself(task: &Task) -> bool {
    match task.desired {
        DesiredState::Run | DesiredState::Stop { cause: StopCause::Ended, .. } => true,
        DesiredState::Stop {
            cause:
                StopCause::Operator
                | StopCause::Drain
                | StopCause::Update
                | StopCause::Balance
                | StopCause::Preemption
                | StopCause::Duplicate
                | StopCause::NodeDead
                | StopCause::RunOver,
            ..
        } => false,
    }
}

/// Says whether the task has done what its slot is there for.
pub(crate) fn has_completed(task: &Task) -> bool {
    task.state == TaskState::Completed && ended_by_itself(task)
}

/// Says whether the application failed: that costs a retry. What a node or a registry could not do costs nothing.
pub(crate) fn has_failed(task: &Task) -> bool {
    let is_its_own = matches!(task.state, TaskState::Failed { kind: FailureKind::Application, .. });
    is_its_own && ended_by_itself(task)
}

/// Says whether the task ended badly by itself, whoever is to blame: the next one waits.
pub(super) fn has_ended_badly(task: &Task) -> bool {
    matches!(task.state, TaskState::Failed { .. }) && ended_by_itself(task)
}

pub(crate) fn tally(cluster: &Cluster, id: &ServiceId, run: &Run) -> Tally {
    let mut tally = Tally { completed: run.done, done: run.done, ..Tally::default() };
    let Some(job) = terms_of(run) else { return tally };
    for (slot, tasks) in cluster.slots_of_run(id, run.number) {
        tally.live += count(tasks.iter().filter(|task| !task.state.is_final()).count());
        if is_done(slot, run) {
            continue;
        }
        if tasks.iter().any(|task| has_completed(task)) {
            tally.completed += 1;
            tally.done += u32::from(is_next(slot, tally.done));
            continue;
        }
        let spent = tasks.iter().find(|task| has_failed(task) && task.failures >= job.retries);
        if let Some(task) = spent {
            tally.failure.get_or_insert_with(|| reason(slot, task));
        }
    }
    tally.wanted = match job.completions {
        Completions::Count(count) => count,
        Completions::EveryNode => {
            let open = nodes_wanted(cluster, id, run).filter(|node| {
                let slot = Slot::RunNode { run: run.number, node: (*node).clone() };
                !cluster.tasks_in(id, &slot).iter().any(|task| has_completed(task))
            });
            tally.completed + count(open.count())
        }
    };
    tally
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Says whether the slot is among those of which it is written down that they have completed.
pub(super) const fn is_done(slot: &Slot, run: &Run) -> bool {
    match slot {
        Slot::RunReplica { number, .. } => *number <= run.done,
        Slot::RunNode { .. } | Slot::Replica(_) | Slot::Node(_) => false,
    }
}

fn is_next(slot: &Slot, done: u32) -> bool {
    matches!(slot, Slot::RunReplica { number, .. } if *number == done + 1)
}

fn reason(slot: &Slot, task: &Task) -> String {
    let place = match slot {
        Slot::RunReplica { number, .. } | Slot::Replica(number) => format!("slot {number}"),
        Slot::RunNode { node, .. } | Slot::Node(node) => format!("its task on {node}"),
    };
    let why = match &task.state {
        TaskState::Failed { reason, .. } => reason.as_str(),
        TaskState::Pending
        | TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. }
        | TaskState::Completed
        | TaskState::Lost => "",
    };
    match task.failures {
        0 => format!("{place} failed: {why}"),
        before => format!("{place} failed {} times, the last time with {why}", before + 1),
    }
}

/// The nodes on which a run that has a place on each is to be, or is.
pub(super) fn nodes_wanted<'a>(
    cluster: &'a Cluster,
    id: &'a ServiceId,
    run: &'a Run,
) -> impl Iterator<Item = &'a NodeId> {
    let seats = cluster.nodes_with_ledgers();
    let fit = seats.filter(move |(node, ledger)| has_place(cluster, (id, run), (node, ledger)));
    fit.map(|(node, _)| &node.id)
}

/// Says whether this is one of them.
pub(super) fn wants_node(cluster: &Cluster, of: (&ServiceId, &Run), node: &NodeId) -> bool {
    seat(cluster, node).is_some_and(|seat| has_place(cluster, of, seat))
}

/// What runs on a node that was closed goes on there and is waited for. Which images an engine has is not known right after
/// a start of the coordinator: until then the node counts.
fn has_place(cluster: &Cluster, (id, run): (&ServiceId, &Run), (node, ledger): Seat<'_>) -> bool {
    let constraints = &run.generation.spec.task.constraints;
    let is_unknown = ledger.images.is_none()
        && ledger.takes(run.generation.spec.task.profile)
        && constraints.iter().all(|constraint| constraint.could_be_met(node));
    let slot = Slot::RunNode { run: run.number, node: node.id.clone() };
    let runs =
        |task: &Arc<Task>| task.node.is_some() && !task.state.is_final() && is_told_to_run(task);
    let is_there = || cluster.tasks_in(id, &slot).iter().any(runs);
    match node.availability {
        Availability::Active => {
            ledger.meets(node, run.generation.spec.task.of_node()) || is_unknown || is_there()
        }
        Availability::Cordoned => is_there(),
        Availability::Dead => false,
    }
}

fn is_told_to_run(task: &Task) -> bool {
    task.desired == DesiredState::Run
}
