//! Where the tasks of a service are: kept as they come and go, because every placement asks.

use std::collections::BTreeMap;

use model::id::NodeId;
use model::task::Task;

/// How many tasks of a service each node and each zone has. Those that are over or missed do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    on_node: BTreeMap<NodeId, usize>,
    in_zone: BTreeMap<String, usize>,
}

impl Spread {
    /// The node on which a task counts, if it does.
    pub(crate) fn place(task: &Task) -> Option<&NodeId> {
        task.node.as_ref().filter(|_| !task.state.is_final() && !task.is_missed())
    }

    pub(crate) fn on_node(&self, node: &NodeId) -> usize {
        self.on_node.get(node).copied().unwrap_or_default()
    }

    pub(crate) fn in_zone(&self, zone: &str) -> usize {
        self.in_zone.get(zone).copied().unwrap_or_default()
    }

    /// All that are counted.
    pub(crate) fn total(&self) -> usize {
        self.on_node.values().sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.on_node.is_empty()
    }

    /// Counts one task more. The zone of a node that has not joined yet is not known.
    pub(super) fn add(&mut self, node: &NodeId, zone: Option<&str>) {
        *self.on_node.entry(node.clone()).or_default() += 1;
        zone.into_iter().for_each(|zone| self.add_to_zone(zone));
    }

    pub(super) fn take(&mut self, node: &NodeId, zone: Option<&str>) {
        if let Some(count) = self.on_node.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                self.on_node.remove(node);
            }
        }
        zone.into_iter().for_each(|zone| self.take_from_zone(zone));
    }

    pub(super) fn add_to_zone(&mut self, zone: &str) {
        match self.in_zone.get_mut(zone) {
            Some(count) => *count += 1,
            None => drop(self.in_zone.insert(zone.to_owned(), 1)),
        }
    }

    pub(super) fn take_from_zone(&mut self, zone: &str) {
        if let Some(count) = self.in_zone.get_mut(zone) {
            *count -= 1;
            if *count == 0 {
                self.in_zone.remove(zone);
            }
        }
    }
}
