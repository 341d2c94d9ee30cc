//! What must hold of pools.

use model::node::Availability;

use model::refresh::Mode;

use crate::cluster::Cluster;

/// Names what is wrong with pools: a machine that its group is asked to end, or that gets another root volume, is closed, and nothing of
/// ours runs there.
pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    check_roots(cluster, broken);
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

fn check_roots(cluster: &Cluster, broken: &mut Vec<String>) {
    for refresh in cluster.refreshes().values() {
        let name = &refresh.id;
        if !refresh.roots.is_empty() && (refresh.policy.mode != Mode::InPlace || refresh.is_done())
        {
            broken.push(format!("{name} gives machines another root volume, and should not"));
        }
        for id in refresh.roots.keys() {
            if refresh.ending.contains(id) {
                broken.push(format!("{name} has {id} ended, and gives it another root volume"));
            }
            let living = cluster.nodes().get(id);
            let living = living.filter(|node| node.availability != Availability::Dead);
            if living.is_some_and(|node| node.drain.is_none()) {
                broken.push(format!("{id} gets another root volume, and is open"));
            }
            if let Some(task) = cluster.tasks_on(id).find(|task| !task.state.is_final()) {
                broken.push(format!("{id} gets another root volume, and {} is there", task.id));
            }
        }
    }
}
