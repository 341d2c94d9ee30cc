//! What is to leave its node: from one that is being emptied, or to where its service is spread better.

use std::sync::Arc;

use model::id::NodeId;
use model::node::DrainPhase;
use model::task::Task;
use model::time::Timestamp;

use super::Cluster;

impl Cluster {
    /// The nodes that are being emptied.
    pub fn draining(&self) -> impl Iterator<Item = &NodeId> {
        self.draining.iter()
    }

    /// The tasks that are to move to where their service is spread better.
    pub fn moving(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.moving.iter().filter_map(|id| self.tasks.get(id))
    }

    /// Says whether the task is to leave its node: another may be made in its place.
    #[must_use]
    pub fn is_leaving(&self, task: &Task) -> bool {
        task.moving_since.is_some() || self.is_on_draining(task)
    }

    /// Says whether the task is on a node that is being emptied.
    #[must_use]
    pub fn is_on_draining(&self, task: &Task) -> bool {
        !self.draining.is_empty()
            && task.node.as_ref().is_some_and(|node| self.draining.contains(node))
    }

    /// When the first of the drains that still wait has waited for long enough.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let drains = self.draining.iter().filter_map(|id| self.nodes.get(id)?.drain);
        let waiting = drains.filter(|drain| drain.phase == DrainPhase::Moving);
        waiting.map(|drain| drain.deadline).min()
    }
}
