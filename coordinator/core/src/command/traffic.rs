//! What load balancers are asked: as with everything else it follows from what is stored and what they show.

use std::collections::BTreeMap;

use model::time::Timestamp;
use model::traffic::{RegistrationPhase, Target, TargetGroup};

use super::Command;
use crate::cluster::Cluster;

/// One request names so many targets at the most, so that one that is refused holds up few.
const TARGETS_LIMIT: usize = 50;

/// What the load balancers are to be told now.
pub(super) fn commands(cluster: &Cluster, now: Timestamp) -> impl Iterator<Item = Command> {
    let mut all: BTreeMap<(&TargetGroup, RegistrationPhase), Vec<Target>> = BTreeMap::new();
    for registration in cluster.registrations().values() {
        let key = (&registration.id.group, registration.phase);
        let may = || {
            let failed = cluster.traffic.failed.get(&(key.0.clone(), key.1));
            failed.is_none_or(|failure| failure.not_before <= now)
        };
        if cluster.is_to_be_told(registration) && may() {
            let targets = all.entry(key).or_default();
            if targets.len() < TARGETS_LIMIT {
                targets.push(registration.id.target.clone());
            }
        }
    }
    all.into_iter().map(|((group, phase), targets)| Command::Balance {
        group: group.clone(),
        phase,
        targets,
    })
}

/// When something that could not be told is told again.
pub(super) fn next(cluster: &Cluster) -> impl Iterator<Item = Timestamp> {
    cluster.traffic.failed.values().map(|failure| failure.not_before)
}
