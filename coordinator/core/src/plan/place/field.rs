//! All nodes that can take tasks of one generation, in the order in which they should.
//!
//! Every task of a generation asks for the same, so each node is judged once for all of them, and again only after it
//! has taken one. To put k tasks on n nodes takes n + k log n steps and not n times k. Where tasks are packed that holds
//! too: what services ask for does not change in between, so that a node's score depends on that node alone.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use model::id::NodeId;
use model::node::Node;
use model::resources::Resources;
use model::spec::{Strategy, TaskSpec};
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use super::filter;
use crate::cluster::{Cluster, Ledger, Mix, Packing};

/// See the module.
#[derive(Debug)]
pub(super) struct Field {
    reservation: Resources,
    /// What services ask for, where tasks are packed.
    mix: Option<Arc<Mix>>,
    /// Whether a task needs ports of the host.
    has_ports: bool,
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
    /// See [`Cluster::numbered`].
    number: usize,
    free: Resources,
    /// How many tasks of the service are there: those that it is spread among, and others.
    present: usize,
}

#[derive(Debug, Default)]
struct Zone {
    count: usize,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

/// The score of a node apart from its zone, term by term as in [`super::Score`], and which node it is. The zone's part is
/// the same for all of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    packing: Packing,
    on_node: u32,
    images_missing: u32,
    memory_bytes: u64,
    cpu_millis: u64,
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
    /// Judges every node for tasks like this one; `suits` says of each, in their order, whether it meets the constraints.
    pub(super) fn survey(
        cluster: &Cluster,
        (task, suits): (&Task, &[bool]),
        now: Timestamp,
    ) -> Self {
        let spec = &task.generation.spec.task;
        let counts = Counts::beside(cluster, task);
        let mut field = Self {
            reservation: spec.reservation(),
            mix: match task.generation.spec.strategy {
                Strategy::Spread => None,
                Strategy::Binpack => Some(Arc::clone(cluster.mix())),
            },
            has_ports: spec.fixed_ports().next().is_some(),
            limit: spec.max_per_node.map_or(usize::MAX, |limit| limit as usize),
            nodes: Vec::new(),
            zones: Vec::new(),
            best: BTreeSet::new(),
        };
        let mut candidates: Vec<Vec<Reverse<Candidate>>> = Vec::new();
        // Where the zone of each number is in the field.
        let mut zones: Vec<Option<usize>> = Vec::new();
        let is_counted = counts.is_any();
        for ((number, ledger), suits) in cluster.ledgers().zip(suits) {
            let free = ledger.free();
            if !suits
                || !field.reservation.fits(&free)
                || filter::closed(ledger, now).is_some()
                || field.has_ports && is_taken(cluster, number, spec)
            {
                continue;
            }
            let present = if is_counted { counts.present(number) } else { 0 };
            if present >= field.limit {
                continue;
            }
            let on_node = if present > 0 { counts.on_node(number) } else { 0 };
            let Some(in_zone) = ledger.zone else { continue };
            if zones.len() <= in_zone {
                zones.resize(in_zone + 1, None);
            }
            let zone = zones.get(in_zone).copied().flatten().unwrap_or(field.zones.len());
            if zone == field.zones.len() {
                let count = counts.in_zone(in_zone);
                field.zones.push(Zone { count, candidates: BinaryHeap::new() });
                candidates.push(Vec::new());
                zones.get_mut(in_zone).into_iter().for_each(|known| *known = Some(zone));
            }
            let candidate = field.candidate((ledger, &free), on_node, spec);
            field.nodes.push(Open { number, free, present });
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

    /// What is to be said of the node that is added next.
    fn candidate(
        &self,
        (ledger, free): (&Ledger, &Resources),
        on_node: usize,
        spec: &TaskSpec,
    ) -> Candidate {
        Candidate {
            packing: self.packing(free),
            on_node: few(on_node),
            images_missing: few(ledger.images_missing(spec)),
            memory_bytes: ledger.held.memory_bytes,
            cpu_millis: ledger.held.cpu_millis,
            index: self.nodes.len(),
        }
    }

    /// What a node with so much left would be left with.
    fn packing(&self, free: &Resources) -> Packing {
        self.mix.as_ref().map_or_else(Packing::default, |mix| mix.packing(free, &self.reservation))
    }

    /// The best node for one more task, if there is one: it counts as taken from then on.
    pub(super) fn take(&mut self, cluster: &Cluster, spec: &TaskSpec) -> Option<NodeId> {
        loop {
            let Best { candidate, zone: index, .. } = self.best.pop_first()?;
            let zone = self.zones.get_mut(index)?;
            let mut first = zone.candidates.peek_mut()?;
            let open = self.nodes.get_mut(candidate.index)?;
            // A task of this generation may have taken the port on another node of the engine.
            let is_taken = self.has_ports && is_taken(cluster, open.number, spec);
            open.free = open.free.minus(&self.reservation);
            open.present += 1;
            if !is_taken && self.reservation.fits(&open.free) && open.present < self.limit {
                let mix = self.mix.as_ref();
                let packing = mix.map(|mix| mix.packing(&open.free, &self.reservation));
                let Resources { cpu_millis, memory_bytes, .. } = self.reservation;
                *first = Reverse(Candidate {
                    packing: packing.unwrap_or_default(),
                    on_node: candidate.on_node + 1,
                    memory_bytes: candidate.memory_bytes.saturating_add(memory_bytes),
                    cpu_millis: candidate.cpu_millis.saturating_add(cpu_millis),
                    ..candidate
                });
                drop(first);
            } else {
                PeekMut::pop(first);
            }
            zone.count += usize::from(!is_taken);
            self.best.extend(zone.best(index));
            if !is_taken {
                return cluster.numbered(open.number).map(|node| node.id.clone());
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

/// A count of tasks or images, which are few: there are not more tasks than numbers.
fn few(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Says whether a port that the task needs is taken on the node of this number.
fn is_taken(cluster: &Cluster, number: usize, spec: &TaskSpec) -> bool {
    let is_taken =
        |node: &Node| spec.fixed_ports().any(|port| filter::is_taken(cluster, node, &port, None));
    cluster.numbered(number).is_some_and(|node| is_taken(node))
}
