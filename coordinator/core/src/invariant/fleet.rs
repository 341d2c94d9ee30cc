//! What must hold of pools.

use std::collections::BTreeMap;

use model::fleet::UNREACHABLE_EVERY;
use model::id::NodeId;
use model::node::Availability;
use model::refresh::Mode;
use model::time::Timestamp;

use crate::cluster::Cluster;

/// Names what is wrong with pools: a machine that its group is asked to end, or that gets another root volume, is closed, and nothing of
/// ours runs there.
pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    check_roots(cluster, broken);
    check_condemned(cluster, broken);
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

/// Machines that are ended for their silence: one at a time in a zone, and the time of the last is known, so that whoever takes over
/// keeps to it.
fn check_condemned(cluster: &Cluster, broken: &mut Vec<String>) {
    let all = cluster.pools().values().flat_map(|pool| &pool.condemned);
    let all = all.filter_map(|(id, at)| Some((cluster.nodes().get(id)?, *at)));
    let mut last: BTreeMap<&str, Vec<(Timestamp, &NodeId)>> = BTreeMap::new();
    for (node, at) in all {
        last.entry(&node.zone).or_default().push((at, &node.id));
    }
    for (zone, mut ended) in last {
        ended.sort();
        for (before, after) in ended.iter().zip(ended.iter().skip(1)) {
            if after.0.since(before.0) < UNREACHABLE_EVERY {
                broken.push(format!("{} and {} of {zone} are ended at once", before.1, after.1));
            }
        }
        let known = cluster.pools().values().filter_map(|pool| pool.condemned_in.get(zone)).max();
        if ended.last().is_some_and(|(at, _)| known.is_none_or(|known| known < at)) {
            broken.push(format!("nobody knows when a machine of {zone} was ended last"));
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
