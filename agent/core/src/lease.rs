//! Leases: a task says that it has work in flight, and for how long.
//!
//! A task has one lease. It takes it for a while, again before that is over, and gives it back. Once the task was told to stop
//! it gets no new one, and the stop waits for the one it holds, for as long as the coordinator has patience. A tombstone
//! without patience waits for nothing. What is not alive any more has nothing in flight. A machine that is about to end takes
//! the place of a tombstone where nobody can send one: see [`crate::outlook`].

use std::time::Duration;

use model::id::TaskId;
use model::time::Timestamp;

use crate::unit::Unit;
use crate::workload::Workload;

/// What a task wants of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// To have it until then. That replaces what it had.
    Take {
        /// By the clock of the node.
        until: Timestamp,
    },
    /// To give it back.
    Release,
}

/// How it is with the lease of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Until when it is held.
    pub until: Option<Timestamp>,
    /// Whether the task was told to stop.
    pub is_stopping: bool,
    /// When it will be stopped whatever it holds; by the clock of the coordinator.
    pub stops_at: Option<Timestamp>,
    /// For how long it can be taken at the most.
    pub longest: Duration,
}

/// Writes down what a task wants, if it may have it.
pub(crate) fn ask(workload: &mut Workload, task: &TaskId, ask: Ask, now: Timestamp) {
    let is_closed = workload.future.is_closed();
    let Some(unit) = workload.units.get_mut(task).filter(|unit| !unit.state.is_final()) else {
        return;
    };
    let Some(policy) = unit.assignment.spec.lease else { return };
    match ask {
        Ask::Release => unit.lease = None,
        Ask::Take { until } => {
            let is_held = unit.lease.is_some_and(|until| now < until);
            let may = unit.wants_to_run() && (is_held || !is_closed) || waits(unit, now);
            if may && now < until && until <= now + policy.cap {
                unit.lease = Some(until);
            }
        }
    }
}

/// Says whether the stop of the task waits for its lease.
pub(crate) fn waits(unit: &Unit, now: Timestamp) -> bool {
    let is_held = unit.lease.is_some_and(|until| now < until);
    is_held && unit.assignment.desired.patience().is_some() && unit.is_alive()
}

/// Forgets leases that are over, and those of tasks that are.
pub(crate) fn expire(workload: &mut Workload, now: Timestamp) {
    for unit in workload.units.values_mut() {
        let is_over = unit.state.is_final();
        unit.lease = unit.lease.filter(|until| now < *until && !is_over);
    }
}

impl Workload {
    /// How it is with the lease of a task, if it is one that takes leases.
    #[must_use]
    pub fn lease(&self, task: &TaskId) -> Option<Lease> {
        let unit = self.units.get(task).filter(|unit| !unit.state.is_final())?;
        let patience = unit.assignment.desired.patience();
        Some(Lease {
            until: unit.lease,
            is_stopping: !unit.wants_to_run() || self.future.is_closed(),
            stops_at: patience.into_iter().chain(self.stops_at()).min(),
            longest: unit.assignment.spec.lease?.cap,
        })
    }
}
