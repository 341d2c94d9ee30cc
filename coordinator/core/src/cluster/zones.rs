//! How much of each zone is silent, and when that proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use model::node::{Availability, Node};
use model::time::Timestamp;

use super::{Cluster, SUSPECT_AFTER};

/// When so large a part of a zone is silent, in percent, and so many nodes at least, the zone or the link to it is the
/// cause, and more load elsewhere helps nobody (the numbers are those of the Kubernetes node lifecycle controller).
const ZONE_PERCENT: usize = 55;
const ZONE_LEAST: usize = 3;

/// How many nodes there are in each zone, and how many of them are silent.
pub(crate) struct Zones<'a>(BTreeMap<&'a str, (usize, usize)>);

impl Zones<'_> {
    pub(crate) fn of(cluster: &Cluster, now: Timestamp) -> Zones<'_> {
        let mut zones = BTreeMap::<&str, (usize, usize)>::new();
        for node in cluster.nodes().values() {
            let Some(silence) = cluster.silence_of(node, now) else { continue };
            let (all, silent) = zones.entry(&node.zone).or_default();
            *all += 1;
            *silent += usize::from(silence >= SUSPECT_AFTER);
        }
        Zones(zones)
    }

    /// Says whether so much is silent, if only for a moment (simulation, seed 301), that it proves nothing.
    pub(crate) fn is_frozen(&self, node: &Node) -> bool {
        let (all, silent) = self.0.get(node.zone.as_str()).copied().unwrap_or_default();
        let is_zone = silent >= ZONE_LEAST && silent * 100 >= all * ZONE_PERCENT;
        is_zone || self.0.values().all(|(all, silent)| all == silent)
    }
}

impl Cluster {
    /// For how long a node was silent that is not proven gone.
    pub(crate) fn silence_of(&self, node: &Node, now: Timestamp) -> Option<Duration> {
        let seen = self.sighting(&node.id).filter(|_| node.availability != Availability::Dead)?;
        Some(now.since(seen.at))
    }
}
