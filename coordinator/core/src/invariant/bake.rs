//! What must hold of bakes and images.

use std::collections::BTreeMap;

use model::bake::{AmiState, BakePhase, End};

use crate::cluster::Cluster;

/// Names what is wrong with bakes and images.
pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut owners = BTreeMap::new();
    for bake in cluster.bakes().values().filter(|bake| !bake.phase.is_over()) {
        for machine in bake.phase.machines() {
            if let Some(other) = owners.insert(machine, &bake.id) {
                broken.push(format!("machine {machine} is of bakes {other} and {}", bake.id));
            }
            if cluster.nodes().contains_key(machine) {
                broken.push(format!("machine {machine} of bake {} is a node", bake.id));
            }
            if cluster.bake_of(machine).is_none_or(|known| known.id != bake.id) {
                broken.push(format!("machine {machine} is not known to be of bake {}", bake.id));
            }
        }
        if let BakePhase::Clearing { rest, end: End::Published { ami } } = &bake.phase
            && rest.ami.as_ref() == Some(ami)
        {
            broken.push(format!("bake {} takes away the image that it has published", bake.id));
        }
    }
    one_at_a_time(cluster, broken);
    for ami in cluster.amis().values() {
        let bake = cluster.bakes().get(&ami.bake);
        let is_tried = bake
            .is_some_and(|bake| bake.phase.made().taken.is_some_and(|taken| taken.ami == ami.id));
        if ami.state == AmiState::Quarantined && !is_tried {
            broken.push(format!("image {} is in quarantine, and nobody tries it out", ami.id));
        }
    }
}

/// Of a recipe one bake goes forward, and what begins by itself is of that recipe.
fn one_at_a_time(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut first = BTreeMap::new();
    for bake in cluster.bakes().values().filter(|bake| bake.phase.is_under_way()) {
        // One that was kept and is tried again may meet another.
        if bake.retries > 0 {
            continue;
        }
        if let Some(other) = first.insert(&bake.recipe.name, &bake.id) {
            broken.push(format!("bakes {other} and {} of one recipe are under way", bake.id));
        }
    }
    for (name, upkeep) in cluster.upkeeps() {
        if upkeep.recipe.name != *name {
            broken.push(format!("recipe {} is known as {name}", upkeep.recipe.name));
        }
        if upkeep.recipe.triggers.is_empty() {
            broken.push(format!("nothing begins a bake of recipe {name}, which is kept up"));
        }
        let begun = upkeep.last.as_ref().map(|last| &last.bake);
        let begun = begun.and_then(|bake| cluster.bakes().get(bake));
        if begun.is_some_and(|bake| bake.recipe.name != *name) {
            broken.push(format!("the last bake of recipe {name} is of another"));
        }
    }
}
