//! Where the tasks of a service are: kept as they come and go, because every placement asks.

use model::id::NodeId;
use model::task::Task;

use super::by_name::ByNode;

/// How many tasks of a service each node and each zone has. Those that are over or missed do not count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    on_node: ByNode<usize>,
    /// By the number of the zone.
    in_zone: Vec<usize>,
    count: usize,
}

impl Spread {
    /// The node on which a task counts, if it does.
    pub(crate) fn place(task: &Task) -> Option<&NodeId> {
        task.booked_on().filter(|_| !task.state.is_final() && !task.is_missed())
    }

    pub(crate) fn on_node(&self, node: &NodeId) -> usize {
        self.on_node.get(node).copied().unwrap_or_default()
    }

    /// How many are in the zone of this number: see [`Ledger::zone`](super::Ledger::zone).
    pub(crate) fn in_zone(&self, zone: usize) -> usize {
        self.in_zone.get(zone).copied().unwrap_or_default()
    }

    /// All that are counted.
    pub(crate) fn total(&self) -> usize {
        self.on_node.values().sum()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts one task more. The zone of a node that has not joined yet is not known.
    pub(super) fn add(&mut self, node: &NodeId, zone: Option<usize>) {
        self.count += 1;
        self.on_node.entry(node).into_iter().for_each(|count| *count += 1);
        zone.into_iter().for_each(|zone| self.add_to_zone(zone));
    }

    pub(super) fn take(&mut self, node: &NodeId, zone: Option<usize>) {
        self.count -= 1;
        self.on_node.get_mut(node).into_iter().for_each(|count| *count -= 1);
        zone.into_iter().for_each(|zone| self.take_from_zone(zone));
    }

    pub(super) fn add_to_zone(&mut self, zone: usize) {
        if self.in_zone.len() <= zone {
            self.in_zone.resize(zone + 1, 0);
        }
        self.in_zone.get_mut(zone).into_iter().for_each(|count| *count += 1);
    }

    pub(super) fn take_from_zone(&mut self, zone: usize) {
        self.in_zone.get_mut(zone).into_iter().for_each(|count| *count -= 1);
    }
}
