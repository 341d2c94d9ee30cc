//! How a task leaves a node that is being emptied, and what it waits for.
//!
//! Another is made elsewhere and settles first, if the two can run side by side; otherwise the task is stopped first, as
//! soon as its service can spare it and there is a place for the next. What belongs to the node leaves last, and what runs
//! once runs to its end: see [`super::drain`].

use std::fmt;
use std::sync::Arc;

use model::id::{NodeId, TaskId};
use model::node::DrainCause;
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task};
use model::time::Timestamp;
use model::traffic::Traffic;

use crate::cluster::Cluster;
use crate::draft::Draft;
use crate::plan::balance;
use crate::plan::budget::{self, Purpose, Short};
use crate::plan::{depend, place, preempt, rollout, slot};

/// What a task on a node that is being emptied waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// It was asked to stop, and has not ended.
    Stopping,
    /// It was asked to stop and holds a lease.
    Lease {
        /// Until then, by the clock of its node.
        until: Timestamp,
        /// From then on it is not waited for.
        at_most: Timestamp,
    },
    /// It was asked to stop, and leaves its load balancers first.
    Traffic {
        /// It is not waited for any longer.
        until: Timestamp,
    },
    /// This one takes its place and does not serve for long enough yet.
    Next(TaskId),
    /// No other node takes it.
    Place(String),
    /// Its service can not spare it.
    Budget(Short),
    /// It belongs to the node and leaves last.
    Others,
    /// It runs to its end.
    End,
    /// A rollout moves it.
    Rollout,
    /// The rollout that would move it has stopped.
    Halted,
    /// The rollout that would move it goes on only when an operator says so.
    Held,
    /// What its service depends on.
    Dependency,
    /// Its node is not heard: nobody knows whether it still runs.
    Silence,
    /// Nothing: it is its turn, or will be after a pause because others failed in its slot.
    Turn,
}

impl Wait {
    /// Says whether nothing will change by itself before the deadline.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        match self {
            Self::Place(_) | Self::Budget(_) | Self::Halted | Self::Held | Self::Silence => true,
            Self::Stopping
            | Self::Lease { .. }
            | Self::Traffic { .. }
            | Self::Next(_)
            | Self::Others
            | Self::End
            | Self::Rollout
            | Self::Dependency
            | Self::Turn => false,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("is stopping"),
            Self::Lease { until, at_most } => write!(
                f,
                "waits: it holds a lease until {until}, and is stopped at {at_most} whatever it holds"
            ),
            Self::Traffic { until } => {
                write!(f, "waits: it leaves its target groups, until {until} at the latest")
            }
            Self::Next(next) => write!(f, "waits: {next} takes its place and has to serve first"),
            Self::Place(why) => write!(f, "{why}"),
            Self::Budget(Short { serving, least }) => {
                write!(f, "waits: {serving} of its service serve, and {least} have to")
            }
            Self::Others => f.write_str("waits: it runs on every node and leaves last"),
            Self::End => f.write_str("waits: it runs to its end"),
            Self::Rollout => f.write_str("waits: the rollout of its service will replace it"),
            Self::Halted => {
                f.write_str("waits: the rollout of its service is halted; roll back or deploy")
            }
            Self::Held => f.write_str(
                "waits: the rollout of its service is held; resume, promote or abort it",
            ),
            Self::Dependency => f.write_str("waits: its service waits for another"),
            Self::Silence => f.write_str("waits: the node is silent"),
            Self::Turn => f.write_str("waits for its turn"),
        }
    }
}

/// Says what a task on a node that is being emptied waits for.
pub(crate) fn wait(cluster: &Cluster, task: &Task, now: Timestamp) -> Wait {
    let node = task.node.as_ref().and_then(|id| cluster.nodes().get(id));
    if !node.is_some_and(|node| cluster.is_heard(node, now)) {
        return Wait::Silence;
    }
    let service = cluster.services().get(&task.service);
    let Some(service) = service.filter(|_| task.desired == DesiredState::Run) else {
        return stopping(cluster, task);
    };
    let blue = slot::blue(service).filter(|_| !slot::is_current(task, service));
    let service = blue.as_ref().unwrap_or(service);
    match (service.target.spec.mode, &service.phase) {
        (Mode::Global, _) => Wait::Others,
        (Mode::Once | Mode::Job(_), _) => Wait::End,
        (Mode::Replicated { .. }, ServicePhase::Halted { .. })
            if !slot::is_current(task, service) =>
        {
            Wait::Halted
        }
        (Mode::Replicated { .. }, _) if !slot::is_current(task, service) => {
            if rollout::is_held(service) { Wait::Held } else { Wait::Rollout }
        }
        (Mode::Replicated { .. }, _) => wait_of_current(cluster, (service, task), now),
    }
}

/// What a task that was told to stop waits for.
pub(crate) fn stopping(cluster: &Cluster, task: &Task) -> Wait {
    if let Traffic::Leaving { until } = task.traffic {
        return Wait::Traffic { until };
    }
    let drain = task.node.as_ref().and_then(|node| cluster.nodes().get(node)?.drain);
    match (cluster.lease(&task.id), task.desired.patience()) {
        (Some(until), Some(most)) => {
            let at_most = drain.map_or(most, |drain| drain.deadline.min(most));
            Wait::Lease { until, at_most }
        }
        (None, _) | (_, None) => Wait::Stopping,
    }
}

fn wait_of_current(cluster: &Cluster, (service, task): (&Service, &Task), now: Timestamp) -> Wait {
    let beside = cluster.tasks_in(&service.id, &task.slot);
    let stays = |other: &&Arc<Task>| slot::is_current(other, service) && !cluster.is_leaving(other);
    if let Some(next) = beside.iter().find(stays) {
        return match place::elsewhere(cluster, next, now) {
            Err(why) if next.booked_on().is_none() => Wait::Place(why),
            Err(_) | Ok(()) => Wait::Next(next.id.clone()),
        };
    }
    if !depend::is_free(cluster, service) {
        return Wait::Dependency;
    }
    if let Err(why) = place::elsewhere(cluster, task, now)
        && preempt::could(cluster, task, now).is_err()
    {
        return Wait::Place(why);
    }
    match budget::ask(cluster, service, task, Purpose::Drain) {
        // It ends with its machine in a moment: the sooner the next one starts the less is missed.
        Err(_) if is_interrupted(cluster, task) => Wait::Turn,
        Err(short) if !slot::starts_first(service) => Wait::Budget(short),
        Err(_) | Ok(()) => Wait::Turn,
    }
}

fn is_interrupted(cluster: &Cluster, task: &Task) -> bool {
    let drain = task.node.as_ref().and_then(|node| cluster.nodes().get(node)?.drain);
    drain.is_some_and(|drain| drain.cause == DrainCause::Interrupted)
}

/// Of the tasks of a slot that are to leave the one that waits for the next: one that serves, or else the oldest.
pub(crate) fn kept<'a>(leaving: &[&'a Arc<Task>]) -> Option<&'a Arc<Task>> {
    let serves = |task: &&&Arc<Task>| task.serving_since().is_some();
    leaving.iter().find(serves).or(leaving.first()).copied()
}

/// Does what can be done for the tasks of a slot that are to leave, while none of the slot stays. Says whether another is
/// to be made.
pub(crate) fn wants_next(draft: &mut Draft<'_>, service: &Service, leaving: &[&Arc<Task>]) -> bool {
    let Some(keep) = kept(leaving) else { return false };
    // What can not be told to leave is waited for until its machine is proven gone.
    if keep.node.as_ref().is_some_and(|node| draft.cluster.is_out_of_reach(node, draft.now)) {
        return false;
    }
    // One is enough to wait for the next: this happens when nodes are emptied one after the other.
    let others = leaving.iter().filter(|task| task.id != keep.id);
    for task in others {
        let cause = balance::cause(draft.cluster, task);
        draft.stop(task, cause);
    }
    match wait_of_current(draft.cluster, (service, keep), draft.now) {
        _ if !matches!(service.target.spec.mode, Mode::Replicated { .. }) => false,
        Wait::Turn if slot::starts_first(service) => true,
        Wait::Turn => {
            let cause = balance::cause(draft.cluster, keep);
            draft.stop(keep, cause);
            false
        }
        Wait::Place(_) => {
            if let Err(short) = preempt::could(draft.cluster, keep, draft.now) {
                draft.cluster.unspared.extend(short);
            }
            draft.cluster.waiting.insert(service.id.clone());
            false
        }
        Wait::Budget(_) => {
            draft.cluster.withheld.insert(service.id.clone());
            false
        }
        Wait::Stopping
        | Wait::Lease { .. }
        | Wait::Traffic { .. }
        | Wait::Next(_)
        | Wait::Others
        | Wait::End
        | Wait::Rollout
        | Wait::Halted
        | Wait::Held
        | Wait::Dependency
        | Wait::Silence => false,
    }
}

/// The node is to keep its tasks after all. Of two in a slot the one that was there stays, unless only the other serves:
/// as when a node comes back ([`super::returning`]).
pub(crate) fn call_back(draft: &mut Draft<'_>, node: &NodeId) {
    let is_there = |task: &&Arc<Task>| task.is_wanted() && !task.state.is_final();
    let here: Vec<Arc<Task>> = draft.cluster.tasks_on(node).filter(is_there).cloned().collect();
    here.iter().for_each(|task| stay(draft, task));
}

/// A task that was to leave stays after all. Of two in the slot it is the one that stays, unless only the other serves.
pub(crate) fn stay(draft: &mut Draft<'_>, task: &Task) {
    let beside = draft.cluster.tasks_in(&task.service, &task.slot);
    let is_next = |next: &&Arc<Task>| {
        next.id != task.id
            && next.generation.template == task.generation.template
            && next.is_wanted()
            && !next.state.is_final()
            && !draft.cluster.is_leaving(next)
    };
    let next = beside.iter().find(is_next).cloned();
    let serves = |task: &Task| task.serving_since().is_some();
    match next {
        Some(next) if serves(&next) && !serves(task) => draft.stop(task, StopCause::Duplicate),
        Some(next) => draft.stop(&next, StopCause::Duplicate),
        None => {}
    }
    draft.touch(&task.service);
}
