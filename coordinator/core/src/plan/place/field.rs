//! All nodes that can take tasks of one generation, in the order in which they should.
//!
//! Every task of a generation asks for the same, so each node is judged once for all of them, and again only after it
//! has taken one. To put k tasks on n nodes takes n + k log n steps and not n times k. Where tasks are packed that holds
//! too: what services ask for does not change in between, so that a node's score depends on that node alone.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;
use std::vec::IntoIter;

use model::id::NodeId;
use model::node::Node;
use model::resources::Resources;
use model::spec::{Strategy, TaskSpec};
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use super::filter;
use crate::cluster::{Cluster, Door, Ledger, Load, Mix, Packing};

/// See the module.
#[derive(Debug)]
pub(super) struct Field {
    asked: Asked,
    zones: Vec<Zone>,
    /// The best candidate of each zone that has one.
    best: BinaryHeap<Reverse<Best>>,
}

/// What the tasks have in common.
#[derive(Debug)]
struct Asked {
    reservation: Resources,
    /// What services ask for, where tasks are packed.
    mix: Option<Arc<Mix>>,
    /// Whether a task needs ports of the host.
    has_ports: bool,
    /// The most tasks of the service on one node.
    limit: Option<usize>,
    /// How many images each node would have to fetch, when no node has any of them.
    images_missing: Option<u32>,
}

#[derive(Debug)]
struct Zone {
    count: usize,
    /// Nodes that have not been taken yet, the best one first.
    fresh: IntoIter<Candidate>,
    /// Those that were taken and can be taken again.
    again: BinaryHeap<Reverse<Candidate>>,
}

/// The score of a node apart from its zone, term by term as in [`super::Score`], and which node it is. The zone's part is
/// the same for all of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    is_fenced: bool,
    packing: Packing,
    /// Tasks on the node, and of equal ones images that it would have to fetch: see [`pair`].
    on_node_and_images: u64,
    load: Load,
    /// Where the node is in the order of ids.
    index: u32,
    /// See [`Cluster::numbered_ledger`].
    number: u32,
}

impl Candidate {
    /// All terms apart from the name of the node, in a few numbers: most of the work of a survey is to compare.
    const fn terms(&self) -> (bool, u128, u64) {
        let before = (self.packing.order() as u128) << 64 | self.on_node_and_images as u128;
        (self.is_fenced, before, self.load.order())
    }

    const fn key(&self) -> (bool, u128, u64, u64) {
        let (is_fenced, before, load) = self.terms();
        (is_fenced, before, load, pair(self.index, self.number))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The candidate of a zone that counts so many tasks: the first of all is the node to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Best {
    is_fenced: bool,
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
        let (asked, spec) = (Asked::by(cluster, task), &task.generation.spec.task);
        let counts = Counts::beside(cluster, task);
        // Zones are alike as a rule.
        let share = suits.len() / cluster.zone_count().max(1);
        let has_fence = cluster.has_fence();
        // By the number of the zone.
        let mut zones: Vec<Vec<Candidate>> = Vec::new();
        for (index, ((number, ledger), suits)) in cluster.ledgers().zip(suits).enumerate() {
            let Some(zone) = ledger.zone.filter(|_| *suits) else { continue };
            let free = ledger.free();
            if !asked.reservation.fits(&free)
                || filter::closed(ledger, now).is_some()
                || ledger.door != Door::Open
                || asked.has_ports && is_taken(cluster, number, spec)
            {
                continue;
            }
            let present = if counts.is_any() { counts.present(number) } else { 0 };
            if asked.limit.is_some_and(|limit| present >= limit) {
                continue;
            }
            if zones.len() <= zone {
                zones.resize_with(zone + 1, || Vec::with_capacity(share));
            }
            let on_node = if present > 0 { few(counts.on_node(number)) } else { 0 };
            let missing = || few(ledger.images_missing(spec));
            let images_missing = asked.images_missing.unwrap_or_else(missing);
            let is_fenced = has_fence && ledger.id.as_ref().is_some_and(|id| cluster.is_fenced(id));
            let candidate = Candidate {
                is_fenced,
                packing: asked.packing(&free),
                on_node_and_images: pair(on_node, images_missing),
                load: Load::of(&ledger.held),
                index: few(index),
                number: few(number),
            };
            zones.get_mut(zone).into_iter().for_each(|fresh| fresh.push(candidate));
        }
        let zones = zones.into_iter().enumerate().map(|(zone, mut fresh)| {
            // They are in the order of ids already. Many are equal apart from that, which makes it short.
            fresh.sort_by_key(Candidate::terms);
            Zone { count: counts.in_zone(zone), fresh: fresh.into_iter(), again: BinaryHeap::new() }
        });
        let zones: Vec<Zone> = zones.collect();
        let best = zones.iter().enumerate().filter_map(|(index, zone)| zone.best(index));
        let best = best.map(Reverse).collect();
        Self { asked, zones, best }
    }

    /// The best node for one more task, if there is one. The task has to be written before the next is asked for.
    pub(super) fn take(&mut self, cluster: &Cluster, task: &Task) -> Option<NodeId> {
        loop {
            let mut best = self.best.peek_mut()?;
            let Reverse(Best { candidate, zone: index, .. }) = *best;
            let zone = self.zones.get_mut(index)?;
            let number = candidate.number as usize;
            let ledger = cluster.numbered_ledger(number)?;
            // A task of this generation may have taken the port on another node of the engine.
            let is_taken =
                self.asked.has_ports && is_taken(cluster, number, &task.generation.spec.task);
            let again = self.asked.again(cluster, task, (candidate, ledger));
            zone.take(candidate);
            zone.again.extend(again.filter(|_| !is_taken).map(Reverse));
            zone.count += usize::from(!is_taken);
            match zone.best(index) {
                Some(next) => {
                    *best = Reverse(next);
                    drop(best);
                }
                None => {
                    PeekMut::pop(best);
                }
            }
            if !is_taken {
                return ledger.id.clone();
            }
        }
    }
}

impl Asked {
    fn by(cluster: &Cluster, task: &Task) -> Self {
        let spec = &task.generation.spec.task;
        let nobody_has_any = !cluster.has_image_of(spec);
        Self {
            reservation: spec.reservation(),
            mix: match task.generation.spec.strategy {
                Strategy::Spread => None,
                Strategy::Binpack => Some(Arc::clone(cluster.mix())),
            },
            has_ports: spec.fixed_ports().next().is_some(),
            limit: spec.max_per_node.map(|limit| limit as usize),
            images_missing: nobody_has_any.then(|| few(Ledger::default().images_missing(spec))),
        }
    }

    /// What a node with so much left would be left with.
    fn packing(&self, free: &Resources) -> Packing {
        self.mix.as_ref().map_or_else(Packing::default, |mix| mix.packing(free, &self.reservation))
    }

    /// How good the node will be for the next task, once it has taken this one; nothing if it can not take another.
    fn again(
        &self,
        cluster: &Cluster,
        task: &Task,
        (candidate, ledger): (Candidate, &Ledger),
    ) -> Option<Candidate> {
        let free = ledger.free().minus(&self.reservation);
        let present = || Counts::beside(cluster, task).present(candidate.number as usize) + 1;
        let may = self.reservation.fits(&free) && self.limit.is_none_or(|limit| present() < limit);
        may.then(|| Candidate {
            packing: self.packing(&free),
            on_node_and_images: candidate.on_node_and_images + pair(1, 0),
            load: Load::of(&(ledger.held + self.reservation)),
            ..candidate
        })
    }
}

impl Zone {
    fn best(&self, index: usize) -> Option<Best> {
        let again = self.again.peek().map(|Reverse(candidate)| candidate);
        let candidate = self.fresh.as_slice().first().into_iter().chain(again).min()?;
        let is_fenced = candidate.is_fenced;
        Some(Best { is_fenced, in_zone: self.count, candidate: *candidate, zone: index })
    }

    /// Takes out the best candidate.
    fn take(&mut self, best: Candidate) {
        if self.fresh.as_slice().first() == Some(&best) {
            self.fresh.next();
        } else {
            self.again.pop();
        }
    }
}

/// Two terms in one number, the first of which decides: to compare candidates is most of the work.
const fn pair(first: u32, second: u32) -> u64 {
    (first as u64) << 32 | second as u64
}

/// A count of tasks, images or nodes, which are few: there are not more of them than numbers.
fn few(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Says whether a port that the task needs is taken on the node of this number.
fn is_taken(cluster: &Cluster, number: usize, spec: &TaskSpec) -> bool {
    let is_taken =
        |node: &Node| spec.fixed_ports().any(|port| filter::is_taken(cluster, node, &port, None));
    cluster.numbered(number).is_some_and(|node| is_taken(node))
}
