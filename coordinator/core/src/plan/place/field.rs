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
use super::leaning::Leaning;
use super::{filter, is_without_data};
use crate::cluster::{Age, Cluster, Door, Ledger, Load, Mix, Packing};

/// See the module.
#[derive(Debug)]
pub(super) struct Field {
    asked: Asked,
    /// How many tasks each zone counts, by its number.
    in_zone: Vec<usize>,
    /// What the service would rather have, if it has said anything.
    leaning: Option<Leaning>,
    /// By their numbers.
    zones: Vec<Zone>,
    /// The best candidate of each zone that has one, as good as it was when it was last looked at: it can only have become worse.
    best: BinaryHeap<Reverse<Best>>,
}

/// The nodes of one zone. What is put in a zone makes all of its groups worse alike, so that their order there stays as it is.
#[derive(Debug, Default)]
struct Zone {
    groups: Vec<Group>,
    /// The best candidate of each group that has one, as good as it was when it was last looked at: it can only have become worse.
    best: BinaryHeap<Reverse<Leader>>,
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
    /// How much each node would have to fetch, when no node has any of it.
    fetch_mib: Option<u32>,
    /// Whether tasks need volumes that somebody has made on nodes.
    needs_volumes: bool,
    /// Whether tasks leave data on nodes.
    keeps_data: bool,
}

/// Nodes of one zone that have the same values of all that tasks are spread over.
#[derive(Debug)]
struct Group {
    /// See [`Leaning::node`].
    kind: usize,
    /// Nodes that have not been taken yet, the best one first.
    fresh: IntoIter<Candidate>,
    /// Those that were taken and can be taken again.
    again: BinaryHeap<Reverse<Candidate>>,
}

/// The score of a node apart from its group, term by term as in [`super::Score`], and which node it is. The group's part is
/// the same for all of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    /// What puts it behind others, and of equal ones what it lacks of what is wished for: see [`behind`].
    behind: u64,
    packing: Packing,
    /// Tasks on the node, whether it is old, and what it would have to fetch: see [`after_packing`].
    on_node_and_fetch: u64,
    load: Load,
    /// Where the node is in the order of ids.
    index: u32,
    /// See [`Cluster::numbered_ledger`].
    number: u32,
}

impl Candidate {
    /// All terms apart from the name of the node, in a few numbers: most of the work of a survey is to compare.
    const fn terms(&self) -> (u64, u128, u64) {
        let before = (self.packing.order() as u128) << 64 | self.on_node_and_fetch as u128;
        (self.behind, before, self.load.order())
    }

    const fn key(&self) -> (u64, u128, u64, u64) {
        let (behind, before, load) = self.terms();
        (behind, before, load, pair(self.index, self.number))
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

/// The candidate of a group, and how good the group is: the first of a zone is the node to take there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Leader {
    /// Without what it lacks.
    behind: u64,
    preference: u64,
    candidate: Candidate,
    /// Where in its zone the group is.
    group: usize,
}

/// The candidate of a zone, and how good the zone is: the first of all is the node to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Best {
    behind: u64,
    preference: u64,
    in_zone: usize,
    candidate: Candidate,
    zone: usize,
    group: usize,
}

impl Field {
    /// Judges every node for tasks like this one; `suits` says of each, in their order, whether it meets the constraints.
    pub(super) fn survey(
        cluster: &Cluster,
        (task, suits): (&Task, &[bool]),
        now: Timestamp,
    ) -> Self {
        let counts = Counts::beside(cluster, task);
        let mut field = Self {
            asked: Asked::by(cluster, task),
            in_zone: Vec::new(),
            leaning: Leaning::beside(cluster, task, counts),
            zones: Vec::new(),
            best: BinaryHeap::new(),
        };
        // Zones are alike as a rule, and kinds.
        let share = suits.len() / cluster.zone_count().max(1);
        let alike = field.leaning.as_ref().map_or(1, Leaning::kinds).max(1);
        // By the number of the zone, and of the kind.
        let mut zones: Vec<Vec<Vec<Candidate>>> = Vec::new();
        for (index, ((number, ledger), suits)) in cluster.ledgers().zip(suits).enumerate() {
            let Some(zone) = ledger.zone.filter(|_| *suits) else { continue };
            let known = (index, number);
            let Some((kind, candidate)) =
                field.judge(cluster, (task, counts), (known, ledger), now)
            else {
                continue;
            };
            if zones.len() <= zone {
                zones.resize_with(zone + 1, Vec::new);
            }
            let Some(kinds) = zones.get_mut(zone) else { continue };
            if kinds.len() <= kind {
                kinds.resize_with(kind + 1, || Vec::with_capacity(share / alike));
            }
            kinds.get_mut(kind).into_iter().for_each(|fresh| fresh.push(candidate));
        }
        field.in_zone = (0..zones.len()).map(|zone| counts.in_zone(zone)).collect();
        field.zones = zones.into_iter().map(Zone::of).collect();
        for zone in 0..field.zones.len() {
            field.line_up(zone);
            let first = field.first_of(zone);
            field.best.extend(first.map(Reverse));
        }
        field
    }

    /// How good a node is, and of which kind, if it can take the task.
    fn judge(
        &self,
        cluster: &Cluster,
        (task, counts): (&Task, Counts<'_>),
        ((index, number), ledger): ((usize, usize), &Ledger),
        now: Timestamp,
    ) -> Option<(usize, Candidate)> {
        let (asked, spec) = (&self.asked, &task.generation.spec.task);
        let free = ledger.free();
        if !asked.reservation.fits(&free)
            || filter::closed(ledger, now).is_some()
            || ledger.door != Door::Open
            || asked.has_ports && is_taken(cluster, number, spec)
            || asked.needs_volumes && ledger.volumes_missing(spec).next().is_some()
        {
            return None;
        }
        let present = if counts.is_any() { counts.present(number) } else { 0 };
        if asked.limit.is_some_and(|limit| present >= limit) {
            return None;
        }
        let on_node = if present > 0 { counts.on_node(number) } else { 0 };
        let fetch = || few(cluster.fetch_mib(ledger, spec));
        let fetch_mib = asked.fetch_mib.unwrap_or_else(fetch);
        let (lacks, kind) = self.leaning.as_ref().map_or((0, 0), |leaning| leaning.node(number));
        let is_fenced = || ledger.id.as_ref().is_some_and(|id| cluster.is_fenced(id));
        let flags = [
            counts.failed_on().any(|failed| ledger.id.as_ref() == Some(failed)),
            cluster.has_fence() && is_fenced(),
            asked.keeps_data && is_without_data(task, (ledger, present)),
        ];
        let candidate = Candidate {
            behind: behind(flags, lacks),
            packing: asked.packing(&free),
            on_node_and_fetch: after_packing(few(on_node), ledger.age, fetch_mib),
            load: Load::of(&ledger.held),
            index: few(index),
            number: few(number),
        };
        Some((kind, candidate))
    }

    /// Finds the best candidate of each group of a zone.
    fn line_up(&mut self, zone: usize) {
        let groups = self.zones.get(zone).map_or(0, |zone| zone.groups.len());
        let best = (0..groups).filter_map(|group| self.leader(zone, group)).map(Reverse).collect();
        if let Some(zone) = self.zones.get_mut(zone) {
            zone.best = best;
        }
    }

    /// The best candidate of a group, as good as it is now.
    fn leader(&self, zone: usize, group: usize) -> Option<Leader> {
        let Group { kind, fresh, again } = self.zones.get(zone)?.groups.get(group)?;
        let again = again.peek().map(|Reverse(candidate)| candidate);
        let candidate = *fresh.as_slice().first().into_iter().chain(again).min()?;
        let dealt = self.leaning.as_ref().map_or(0, |leaning| leaning.dealt(*kind));
        Some(Leader {
            behind: candidate.behind & !LACKS,
            preference: (candidate.behind & LACKS).saturating_add(dealt),
            candidate,
            group,
        })
    }

    /// The best candidate of a zone, as good as it is now.
    fn first_of(&mut self, zone: usize) -> Option<Best> {
        loop {
            let Reverse(known) = *self.zones.get(zone)?.best.peek()?;
            // Others with the same values may have been taken since it was looked at.
            let now = self.leader(zone, known.group);
            if now == Some(known) {
                let Leader { behind, preference, candidate, group } = known;
                let in_zone = self.in_zone.get(zone).copied().unwrap_or_default();
                return Some(Best { behind, preference, in_zone, candidate, zone, group });
            }
            put_first(&mut self.zones.get_mut(zone)?.best, now);
        }
    }

    /// The best node for one more task, if there is one. The task has to be written before the next is asked for.
    pub(super) fn take(&mut self, cluster: &Cluster, task: &Task) -> Option<NodeId> {
        loop {
            let Reverse(known) = *self.best.peek()?;
            let Best { candidate, zone, group, .. } = known;
            if self.leaning.is_some() {
                let now = self.first_of(zone);
                if now != Some(known) {
                    put_first(&mut self.best, now);
                    continue;
                }
            }
            let number = candidate.number as usize;
            let ledger = cluster.numbered_ledger(number)?;
            // A task of this generation may have taken the port on another node of the engine.
            let is_taken =
                self.asked.has_ports && is_taken(cluster, number, &task.generation.spec.task);
            let again = self.asked.again(cluster, task, (candidate, ledger));
            let group = self.zones.get_mut(zone)?.groups.get_mut(group)?;
            group.take(candidate);
            group.again.extend(again.filter(|_| !is_taken).map(Reverse));
            let kind = group.kind;
            if !is_taken {
                self.in_zone.get_mut(zone).into_iter().for_each(|count| *count += 1);
                self.leaning.iter_mut().for_each(|leaning| leaning.took(kind));
            }
            let now = self.first_of(zone);
            put_first(&mut self.best, now);
            if !is_taken {
                return ledger.id.clone();
            }
        }
    }
}

/// Puts what was the first where it belongs now.
fn put_first<T: Ord>(best: &mut BinaryHeap<Reverse<T>>, now: Option<T>) {
    let Some(mut first) = best.peek_mut() else { return };
    match now {
        Some(now) => *first = Reverse(now),
        None => {
            PeekMut::pop(first);
        }
    }
}

impl Zone {
    /// The candidates of each kind, by its number.
    fn of(kinds: Vec<Vec<Candidate>>) -> Self {
        let kinds = kinds.into_iter().enumerate().filter(|(_, fresh)| !fresh.is_empty());
        let groups = kinds.map(|(kind, mut fresh)| {
            // They are in the order of ids already. Many are equal apart from that, which makes it short.
            fresh.sort_by_key(Candidate::terms);
            Group { kind, fresh: fresh.into_iter(), again: BinaryHeap::new() }
        });
        Self { groups: groups.collect(), best: BinaryHeap::new() }
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
            fetch_mib: nobody_has_any.then(|| few(cluster.fetch_mib(&Ledger::default(), spec))),
            needs_volumes: spec.host_volumes().next().is_some(),
            keeps_data: spec.own_volumes().next().is_some(),
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
        // Its data are used now.
        let data = if self.keeps_data { behind([false, false, true], 0) } else { 0 };
        may.then(|| Candidate {
            behind: candidate.behind | data,
            packing: self.packing(&free),
            on_node_and_fetch: candidate.on_node_and_fetch + pair(1, 0),
            load: Load::of(&(ledger.held + self.reservation)),
            ..candidate
        })
    }
}

impl Group {
    /// Takes out the best candidate.
    fn take(&mut self, best: Candidate) {
        if self.fresh.as_slice().first() == Some(&best) {
            self.fresh.next();
        } else {
            self.again.pop();
        }
    }
}

/// What of [`Candidate::behind`] says what the node lacks. More than fits is not asked for: eight weights of a hundred.
const LACKS: u64 = u64::MAX >> 3;

/// The terms of [`super::Score`] that come before all others, in one number: the first one that is so decides.
const fn behind([has_failed, is_fenced, is_without_data]: [bool; 3], lacks: u64) -> u64 {
    (has_failed as u64) << 63 | (is_fenced as u64) << 62 | (is_without_data as u64) << 61 | lacks
}

/// The terms after that of packing: as many are on the node, whether it is old, and so much would be fetched. Two pebibytes
/// are the most.
const fn after_packing(on_node: u32, age: Age, fetch_mib: u32) -> u64 {
    let most = u32::MAX >> 1;
    let fetch = if fetch_mib < most { fetch_mib } else { most };
    pair(on_node, (age as u32) << 31 | fetch)
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
