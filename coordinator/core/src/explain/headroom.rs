//! How many more tasks of a service would find a node.

use model::id::Slot;
use model::service::Service;
use model::spec::{Mode, REPLICAS_LIMIT};
use model::time::Timestamp;

use crate::cluster::Cluster;
use crate::plan::place::{Counts, filter};
use crate::plan::reconcile;

/// Room for more tasks of a service, as things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// So many, and no more than a service can have.
    pub tasks: u64,
    /// On so many nodes.
    pub nodes: usize,
}

/// Says for how many more tasks of a service there is room; nothing of one that has not a number of replicas.
#[must_use]
pub fn headroom(cluster: &Cluster, service: &Service, now: Timestamp) -> Option<Headroom> {
    let Mode::Replicated { replicas } = service.target.spec.mode else { return None };
    let slot = Slot::Replica(replicas.saturating_add(1));
    let task = reconcile::pending((slot, service.target.clone()), (0, now));
    let spec = &task.generation.spec.task;
    let (counts, reservation) = (Counts::beside(cluster, &task), spec.reservation());
    let has_ports = spec.fixed_ports().next().is_some();
    let most = u64::from(REPLICAS_LIMIT.saturating_sub(replicas));
    let mut room = Headroom { tasks: 0, nodes: 0 };
    for (node, ledger) in cluster.nodes_with_ledgers() {
        if filter::refusal(cluster, (&task, counts), (node, ledger), now).is_some() {
            continue;
        }
        let held = u64::try_from(counts.present(ledger.number)).unwrap_or(u64::MAX);
        let limit = spec.max_per_node.map(|limit| u64::from(limit).saturating_sub(held));
        let ports = has_ports.then_some(1);
        let bounds = ledger.free().holds(&reservation).into_iter().chain(limit).chain(ports);
        room.tasks = room.tasks.saturating_add(bounds.min().unwrap_or(most));
        room.nodes += 1;
    }
    room.tasks = room.tasks.min(most);
    Some(room)
}
