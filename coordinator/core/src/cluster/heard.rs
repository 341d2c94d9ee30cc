//! What was heard of nodes, which is not stored.

use std::sync::Arc;

use model::id::NodeId;
use model::node::Node;
use model::task::Task;
use model::time::Timestamp;

use super::{Cluster, Sighting};
use crate::event::EngineState;

impl Cluster {
    /// The tasks of a node that are missed, by id: see [`Task::is_missed`].
    pub fn missed_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let missed = self.ledger(node).map(|ledger| &ledger.missed);
        missed.into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// Says whether the node is heard again and has said how each of its tasks is.
    #[must_use]
    pub fn is_back(&self, node: &NodeId, now: Timestamp) -> bool {
        let has_told_all = self.sighting(node).is_some_and(|seen| seen.has_told_all);
        has_told_all && self.nodes.get(node).is_some_and(|node| self.is_heard(node, now))
    }

    /// Says whether the node was heard lately enough to be given work.
    #[must_use]
    pub fn is_heard(&self, node: &Node, now: Timestamp) -> bool {
        self.sighting(&node.id).is_some_and(|seen| seen.is_fresh(node, now))
    }

    /// Says whether the node was heard lately and its engine answers.
    #[must_use]
    pub fn takes_work(&self, node: &Node, now: Timestamp) -> bool {
        let ready = self.sighting(&node.id).filter(|seen| seen.engine == EngineState::Ready);
        ready.is_some_and(|seen| seen.is_fresh(node, now))
    }

    /// When the node was last heard, and whether its engine answered then.
    #[must_use]
    pub fn sighting(&self, node: &NodeId) -> Option<Sighting> {
        self.ledger(node).and_then(|ledger| ledger.seen)
    }

    /// Counts every node as heard at `now`: the coordinator itself was away, and knows nothing of the silence.
    pub fn forgive(&mut self, now: Timestamp) {
        let seen = self.ledgers.values_mut().filter_map(|ledger| ledger.seen.as_mut());
        seen.for_each(|seen| seen.at = now);
    }

    /// Writes down a sign of life that another copy of the cluster has heard.
    pub fn saw(&mut self, node: &NodeId, sighting: Sighting) {
        if let Some(ledger) = self.ledger_mut(node) {
            ledger.seen = Some(sighting);
        }
    }
}
