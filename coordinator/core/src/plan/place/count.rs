//! Where the other tasks of a service are, from the point of view of one of them.

use model::id::NodeId;
use model::task::Task;

use crate::cluster::{Cluster, Spread};

/// How many tasks of its service, itself not counted, each node and each zone has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts<'a> {
    spread: Option<&'a Spread>,
    /// Where the task itself counts.
    own: Option<(&'a NodeId, Option<usize>)>,
}

impl<'a> Counts<'a> {
    /// Counts the tasks beside this one.
    pub(crate) fn beside(cluster: &'a Cluster, task: &'a Task) -> Self {
        let is_known = cluster.tasks().contains_key(&task.id);
        let own = Spread::place(task)
            .filter(|_| is_known)
            .map(|node| (node, cluster.ledger(node).and_then(|ledger| ledger.zone)));
        Self { spread: cluster.spread(&task.service), own }
    }

    /// Says whether there are any at all.
    pub(crate) const fn is_any(&self) -> bool {
        self.spread.is_some()
    }

    pub(crate) fn on_node(&self, node: &NodeId) -> usize {
        let own = usize::from(self.own.is_some_and(|(own, _)| own == node));
        self.spread.map_or(0, |spread| spread.on_node(node)).saturating_sub(own)
    }

    pub(crate) fn in_zone(&self, zone: usize) -> usize {
        let own = usize::from(self.own.is_some_and(|(_, own)| own == Some(zone)));
        self.spread.map_or(0, |spread| spread.in_zone(zone)).saturating_sub(own)
    }
}
