//! What must hold of pools.

use model::node::Availability;

use crate::cluster::Cluster;

/// Names what is wrong with pools: a machine that its group is asked to end is closed, and nothing of ours runs there.
pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    for pool in cluster.pools().values() {
        for id in &pool.ending {
            let Some(node) = cluster.nodes().get(id) else { continue };
            if node.availability == Availability::Dead {
                continue;
            }
            if node.drain.is_none() {
                broken.push(format!("{} is asked to end {id}, which is open", pool.name));
            }
            if let Some(task) = cluster.tasks_on(id).find(|task| !task.state.is_final()) {
                broken
                    .push(format!("{} is asked to end {id}, and {} is there", pool.name, task.id));
            }
        }
        if pool.policy.most.is_some_and(|most| most < pool.policy.least) {
            broken.push(format!("{} is to have more machines than it may", pool.name));
        }
    }
}
