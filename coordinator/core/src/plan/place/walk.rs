//! The best node for one task, found from the first of its class on.
//!
//! It is the node that [`super::field`] would give first. That looks at every node once and is worth it for many tasks;
//! this looks at few and is worth it for few tasks.

use std::collections::BTreeSet;

use model::id::NodeId;
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use super::filter::refusal;
use super::{Score, score};
use crate::cluster::{Cluster, Rank};

/// The best node. The class of the task has to be in order: see [`Cluster::refresh_class`].
pub(super) fn first(cluster: &Cluster, task: &Task, now: Timestamp) -> Option<NodeId> {
    let counts = Counts::beside(cluster, task);
    let failed: Vec<&NodeId> = counts.failed_on().collect();
    // Those that another term puts last are left out at first.
    let all: [&[&NodeId]; 2] = [&failed, &[]];
    let skipped = all.into_iter().skip(usize::from(failed.is_empty()));
    let fenced = [Fenced::Out, Fenced::In].into_iter().skip(usize::from(!cluster.has_fence()));
    let mut tries = skipped.flat_map(|skipped| fenced.clone().map(move |fenced| (skipped, fenced)));
    tries.find_map(|skip| first_but(cluster, (task, counts), skip, now))
}

/// Whether nodes count that are to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fenced {
    In,
    Out,
}

/// The best node apart from some.
fn first_but(
    cluster: &Cluster,
    (task, counts): (&Task, Counts<'_>),
    skipped: (&[&NodeId], Fenced),
    now: Timestamp,
) -> Option<NodeId> {
    let class = cluster.class(&task.generation.spec)?;
    let zones = class.zones().map(|(zone, ranks)| (counts.in_zone(zone), ranks));
    let mut zones: Vec<_> = zones.collect();
    zones.sort_by_key(|(count, _)| *count);
    let alike = zones.chunk_by(|(one, _), (other, _)| one == other);
    let best = |zones: &[(usize, &BTreeSet<Rank>)]| {
        let best = zones
            .iter()
            .filter_map(|(_, ranks)| first_of(cluster, (task, counts), (ranks, skipped), now));
        best.min()
    };
    alike.into_iter().find_map(best).map(|(_, node)| node)
}

/// The best node of a zone, and its score there.
fn first_of(
    cluster: &Cluster,
    (task, counts): (&Task, Counts<'_>),
    (ranks, (skipped, fenced)): (&BTreeSet<Rank>, (&[&NodeId], Fenced)),
    now: Timestamp,
) -> Option<(Score, NodeId)> {
    let fetch_mib = cluster.fetch_least(&task.generation.spec.task);
    let mut best: Option<(Score, NodeId)> = None;
    let is_in = |rank: &&Rank| {
        !skipped.contains(&&rank.node) && (fenced == Fenced::In || !cluster.is_fenced(&rank.node))
    };
    for rank in ranks.iter().filter(is_in) {
        // No node from here on can be better than this, and of equal ones the first is taken.
        let Rank { packing, age, load, .. } = *rank;
        let bound = Score { packing, age, fetch_mib, load, ..Score::default() };
        if best.as_ref().is_some_and(|(score, _)| *score <= bound) {
            break;
        }
        let Some(seat) = cluster.seat(rank.number) else { continue };
        if refusal(cluster, (task, counts), seat, now).is_none() {
            let score = score(cluster, (task, counts, None), seat);
            let score = Score { has_failed: false, is_fenced: false, in_zone: 0, ..score };
            let found = (score, rank.node.clone());
            best = Some(best.map_or(found.clone(), |best| best.min(found)));
        }
    }
    best
}
