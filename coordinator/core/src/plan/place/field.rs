//! All nodes that can take tasks of one generation, in the order in which they should.
//!
//! Every task of a generation asks for the same, so each node is judged once for all of them, and again only after it
//! has taken one. To put k tasks on n nodes takes n + k log n steps and not n times k.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use model::id::NodeId;
use model::node::Node;
use model::resources::Resources;
use model::spec::TaskSpec;
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use super::{Score, filter};
use crate::cluster::Cluster;

/// See the module.
#[derive(Debug)]
pub(super) struct Field {
    reservation: Resources,
    /// The most tasks of the service on one node.
    limit: usize,
    nodes: Vec<Open>,
    zones: Vec<Zone>,
    /// The best candidate of each zone that has one.
    best: BTreeSet<Best>,
}

/// A node that can take a task.
#[derive(Debug)]
struct Open {
    node: Arc<Node>,
    free: Resources,
}

#[derive(Debug, Default)]
struct Zone {
    count: usize,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

/// The score of a node apart from its zone, and which node it is. The zone's part is the same for all of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    score: Score,
    index: usize,
}

/// The candidate of a zone that counts so many tasks: the first of all is the node to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Best {
    in_zone: usize,
    candidate: Candidate,
    zone: usize,
}

impl Field {
    /// Judges every node for tasks like this one.
    pub(super) fn survey(cluster: &Cluster, task: &Task, now: Timestamp) -> Self {
        let spec = &task.generation.spec.task;
        let counts = Counts::beside(cluster, task);
        let mut field = Self {
            reservation: spec.reservation(),
            limit: spec.max_per_node.map_or(usize::MAX, |limit| limit as usize),
            nodes: Vec::new(),
            zones: Vec::new(),
            best: BTreeSet::new(),
        };
        let mut candidates: Vec<Vec<Reverse<Candidate>>> = Vec::new();
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for (node, ledger) in cluster.nodes_with_ledgers() {
            let free = node.capacity.minus(&ledger.held);
            let on_node = counts.on_node(&node.id);
            let is_out = !field.reservation.fits(&free)
                || on_node >= field.limit
                || filter::closed((node, ledger), now).is_some()
                || !ledger.meets(node, &spec.constraints);
            if is_out || has_taken_port(cluster, node, spec) {
                continue;
            }
            let zone = *zones.entry(&node.zone).or_insert_with(|| {
                let count = counts.in_zone(&node.zone);
                field.zones.push(Zone { count, candidates: BinaryHeap::new() });
                candidates.push(Vec::new());
                field.zones.len() - 1
            });
            let score = Score {
                in_zone: 0,
                on_node,
                images_missing: ledger.images_missing(spec),
                memory_bytes: ledger.held.memory_bytes,
                cpu_millis: ledger.held.cpu_millis,
            };
            let candidate = Candidate { score, index: field.nodes.len() };
            field.nodes.push(Open { node: Arc::clone(node), free });
            if let Some(of_zone) = candidates.get_mut(zone) {
                of_zone.push(Reverse(candidate));
            }
        }
        for (index, (zone, candidates)) in field.zones.iter_mut().zip(candidates).enumerate() {
            zone.candidates = candidates.into();
            field.best.extend(zone.best(index));
        }
        field
    }

    /// The best node for one more task, if there is one: it counts as taken from then on.
    pub(super) fn take(&mut self, cluster: &Cluster, spec: &TaskSpec) -> Option<NodeId> {
        loop {
            let Best { candidate, zone: index, .. } = self.best.pop_first()?;
            let zone = self.zones.get_mut(index)?;
            zone.candidates.pop();
            let open = self.nodes.get_mut(candidate.index)?;
            // A task of this generation may have taken the port on another node of the engine.
            let is_taken = has_taken_port(cluster, &open.node, spec);
            if !is_taken {
                zone.count += 1;
                open.free = open.free.minus(&self.reservation);
                let score = candidate.score.with(&self.reservation);
                if self.reservation.fits(&open.free) && score.on_node < self.limit {
                    zone.candidates.push(Reverse(Candidate { score, ..candidate }));
                }
            }
            self.best.extend(zone.best(index));
            if !is_taken {
                return Some(open.node.id.clone());
            }
        }
    }
}

impl Zone {
    fn best(&self, index: usize) -> Option<Best> {
        let Reverse(candidate) = *self.candidates.peek()?;
        Some(Best { in_zone: self.count, candidate, zone: index })
    }
}

fn has_taken_port(cluster: &Cluster, node: &Node, spec: &TaskSpec) -> bool {
    spec.fixed_ports().any(|port| filter::is_taken(cluster, node, &port, None))
}
