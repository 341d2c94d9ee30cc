//! Where the tasks of a service are, counted once for all that is asked about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::NodeId;
use model::task::Task;

use crate::cluster::Cluster;

/// How many tasks of a service each node and each zone has. Those that are over or missed do not count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    on_node: BTreeMap<NodeId, usize>,
    in_zone: BTreeMap<String, usize>,
}

impl Counts {
    /// Counts all tasks of the service of `task` but the task itself.
    pub(crate) fn beside(cluster: &Cluster, task: &Task) -> Self {
        let counts = |other: &&Arc<Task>| {
            !other.state.is_final() && !other.is_missed() && other.id != task.id
        };
        let mut all = Self::default();
        for id in cluster.tasks_of(&task.service).filter(counts).filter_map(|one| one.node.as_ref())
        {
            *all.on_node.entry(id.clone()).or_default() += 1;
            let Some(node) = cluster.nodes().get(id) else { continue };
            match all.in_zone.get_mut(&node.zone) {
                Some(count) => *count += 1,
                None => drop(all.in_zone.insert(node.zone.clone(), 1)),
            }
        }
        all
    }

    pub(crate) fn on_node(&self, node: &NodeId) -> usize {
        self.on_node.get(node).copied().unwrap_or_default()
    }

    pub(crate) fn in_zone(&self, zone: &str) -> usize {
        self.in_zone.get(zone).copied().unwrap_or_default()
    }
}
