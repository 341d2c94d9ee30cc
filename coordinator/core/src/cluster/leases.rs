//! Work in flight: which tasks hold leases, as far as their agents have said, and which stops wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::TaskId;
use model::task::Task;
use model::time::Timestamp;

use super::Cluster;

/// Leases, and who waits for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases {
    /// Not stored: when each ends, by the clock of its node.
    held: BTreeMap<TaskId, Timestamp>,
    /// Tasks that were told to stop once their lease is over. They may hold none.
    waiting: BTreeSet<TaskId>,
}

impl Leases {
    pub(super) fn put(&mut self, task: &Task) {
        if task.state.is_final() {
            return self.remove(&task.id);
        }
        if task.desired.patience().is_some() {
            self.waiting.insert(task.id.clone());
        } else {
            self.waiting.remove(&task.id);
        }
    }

    pub(super) fn remove(&mut self, id: &TaskId) {
        self.held.remove(id);
        self.waiting.remove(id);
    }
}

impl Cluster {
    /// When the lease of a task ends, if it holds one as far as its agent has said.
    #[must_use]
    pub fn lease(&self, task: &TaskId) -> Option<Timestamp> {
        self.leases.held.get(task).copied()
    }

    /// Writes down what an agent says of the lease of a task that is not over.
    pub fn saw_lease(&mut self, task: &TaskId, until: Option<Timestamp>) {
        match until {
            Some(until) => self.leases.held.insert(task.clone(), until),
            None => self.leases.held.remove(task),
        };
    }

    /// The tasks whose stop waits for a lease.
    pub fn patient(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.leases.waiting.iter().filter_map(|id| self.tasks.get(id))
    }
}
