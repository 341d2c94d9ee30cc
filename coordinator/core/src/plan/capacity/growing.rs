//! A pool, and what it would have once the machines that it lacks are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::fleet::{Group, Instance, Pool};
use model::id::ServiceId;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::task::Task;
use model::time::Timestamp;

use super::machine::Machine;
use crate::cluster::{Cluster, Shortage};
use crate::command::Key;
use crate::explain::amount;
use crate::explain::growth::Likeness;

/// So many more machines are asked for at once: the next look asks for the rest, having seen these.
const RAISE: u32 = 100;
/// More machines on their way than this need not be told apart.
const TOLD_APART: usize = 1_000;

/// See the module.
pub(super) struct Growing<'a> {
    pub(super) pool: &'a Pool,
    group: &'a Group,
    /// How many machines it has, those on their way among them.
    has: u32,
    likeness: Likeness<'a>,
    /// Machines that are on their way, and those that are asked for.
    open: Vec<Machine>,
    /// How many of them are asked for.
    new: u32,
    /// How many machines there are in each zone, those on their way among them.
    zones: BTreeMap<String, u32>,
    /// How many tasks it could have taken if its group were larger.
    pub(super) beyond: u32,
    /// How many tasks it could take that find no room on what is there or on its way.
    pub(super) waiting: u32,
    /// Those that have it asked for machines.
    named: Vec<String>,
    /// Whether machines are asked for so that there are as many as it should have.
    is_small: bool,
    /// Whether machines are asked for so that so much is free.
    is_crowded: bool,
    /// How many tasks such as room is kept for fit into what is free.
    free: u64,
    /// Its last launch has failed, and machines are missing.
    is_stuck: bool,
    rooms: BTreeMap<(ServiceId, u64, Option<String>), Option<Resources>>,
}

/// The machines of a pool that are in its group and do not leave it.
pub(crate) fn members<'a>(
    cluster: &'a Cluster,
    pool: &'a str,
) -> impl Iterator<Item = &'a Instance> {
    let instances = cluster.instances().values();
    instances.filter(move |one| {
        one.pool.as_deref() == Some(pool) && !one.lifecycle.is_leaving() && !one.power.is_off()
    })
}

/// How many machines a group wants: as many as it was asked for, if that was done and does not show yet.
fn desired(cluster: &Cluster, pool: &Pool, group: &Group) -> u32 {
    let tried = cluster.fleet.tries.get(&Key::Desired(pool.name.clone()));
    let is_done = tried.is_some_and(|tried| tried.why.is_none());
    let asked = pool.asked.as_ref().filter(|asked| is_done && asked.from == group.desired);
    asked.map_or(group.desired, |asked| asked.to.max(group.desired))
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

impl<'a> Growing<'a> {
    /// The pool as it is. None until its group was looked at.
    pub(super) fn of(cluster: &'a Cluster, pool: &'a Pool, now: Timestamp) -> Option<Self> {
        let group = cluster.group(&pool.name)?;
        let desired = desired(cluster, pool, group);
        let nodes = cluster.nodes().values();
        let nodes = nodes.filter(|node| node.pool.as_ref() == Some(&pool.name));
        let living = nodes.filter(|node| node.availability != Availability::Dead);
        let living: Vec<&Arc<Node>> = living.collect();
        // What its group ends is replaced or no more wanted.
        let is_final = |node: &Node| node.drain.is_some_and(|drain| drain.cause.is_final());
        let staying: Vec<&Arc<Node>> =
            living.iter().filter(|node| !is_final(node)).copied().collect();
        let launching: Vec<&Instance> = members(cluster, &pool.name)
            .filter(|one| !cluster.nodes().contains_key(&one.id))
            .collect();
        let mut zones: BTreeMap<String, u32> =
            group.zones.iter().map(|zone| (zone.clone(), 0)).collect();
        let there = staying.iter().map(|node| &node.zone);
        for zone in there.chain(launching.iter().map(|one| &one.zone)) {
            *zones.entry(zone.clone()).or_default() += 1;
        }
        let (stays, launched) = (count(staying.len()), count(launching.len()));
        // What the cloud has said may be older than the last machine that has come.
        let has = desired.max(stays);
        let missing = desired.saturating_sub(stays.saturating_add(launched));
        let preparing = staying.iter().filter(|node| node.preparing_until.is_some());
        let coming = preparing.map(|node| node.zone.clone());
        let coming = coming.chain(launching.iter().map(|one| one.zone.clone()));
        let likeness = Likeness::of(cluster, &living);
        let is_stuck = group.failure.is_some() && missing > 0;
        let mut growing = Self {
            pool,
            group,
            has,
            likeness,
            open: coming.take(TOLD_APART).map(|zone| Machine::in_zone(Some(zone))).collect(),
            new: 0,
            zones,
            beyond: 0,
            waiting: 0,
            named: Vec::new(),
            is_small: false,
            is_crowded: false,
            free: 0,
            is_stuck,
            rooms: BTreeMap::new(),
        };
        let told_apart = if is_stuck { 0 } else { (missing as usize).min(TOLD_APART) };
        (0..told_apart).for_each(|_| growing.come());
        growing.free = growing.free_on(cluster, &staying, now);
        Some(growing)
    }

    /// How many tasks such as room is kept for fit on nodes that are there.
    fn free_on(&self, cluster: &Cluster, nodes: &[&Arc<Node>], now: Timestamp) -> u64 {
        let each = &self.pool.policy.headroom.each;
        if self.pool.policy.headroom.count == 0 {
            return 0;
        }
        let open = nodes.iter().filter(|node| takes_any(cluster, node, now));
        let free = open.filter_map(|node| cluster.ledger(&node.id)?.free().holds(each));
        free.fold(0, u64::saturating_add)
    }

    /// By what the pool is asked first: one of which nothing is known last.
    pub(super) fn size(&self) -> (bool, u64, u64, u64, String) {
        let room = self.likeness.capacity();
        let Resources { cpu_millis, memory_bytes, gpus, .. } = room.unwrap_or_default();
        (room.is_none(), gpus, memory_bytes, cpu_millis, self.pool.name.clone())
    }

    /// One machine more is expected where the group has the fewest: that is where Auto Scaling launches it.
    fn come(&mut self) {
        let zone = self.zones.iter().min_by_key(|(_, count)| **count).map(|(zone, _)| zone.clone());
        if let Some(count) = zone.as_ref().and_then(|zone| self.zones.get_mut(zone)) {
            *count += 1;
        }
        self.open.push(Machine::in_zone(zone));
    }

    fn most(&self) -> u32 {
        self.pool.policy.most.map_or(self.group.max, |most| most.min(self.group.max))
    }

    pub(super) fn is_full(&self) -> bool {
        self.has.saturating_add(self.new) >= self.most()
    }

    fn may_open(&self) -> bool {
        self.pool.policy.grows
            && !self.is_stuck
            && !self.group.suspended.contains("Launch")
            && self.new < RAISE
            && !self.is_full()
    }

    /// What a machine of the pool has for such tasks in a zone. Those of one template are all alike.
    fn room(&mut self, task: &Task, zone: Option<&String>) -> Option<Resources> {
        let asked = (task.service.clone(), task.generation.template, zone.cloned());
        let likeness = &self.likeness;
        *self.rooms.entry(asked).or_insert_with(|| likeness.room(task, zone.map(String::as_str)))
    }

    /// Whether its machines take what may do so much as the task, whatever they are like.
    fn takes_any(&self, task: &Task) -> bool {
        task.generation.spec.task.profile >= self.pool.policy.profile
    }

    /// Puts the task on a machine that comes anyway, if there is one for it.
    pub(super) fn takes(&mut self, task: &Task) -> bool {
        if self.likeness.is_unknown() {
            // Nobody knows what its machines are like until the first is there, but for what its pool says.
            return self.takes_any(task) && !self.open.is_empty();
        }
        let zones: Vec<Option<String>> =
            self.open.iter().map(|machine| machine.zone.clone()).collect();
        for (at, zone) in zones.iter().enumerate() {
            let Some(room) = self.room(task, zone.as_ref()) else { continue };
            if let Some(machine) = self.open.get_mut(at).filter(|one| one.fits(task, &room, 0)) {
                machine.take(task);
                return true;
            }
        }
        false
    }

    /// Asks for a machine more that takes the task. Where only one zone will do those that come in others first are asked for
    /// too: a group can not be told where.
    pub(super) fn opens(&mut self, task: &Task) -> bool {
        if !self.takes_any(task) {
            return false;
        }
        let (open, new, zones) = (self.open.len(), self.new, self.zones.clone());
        for _ in 0..zones.len().max(1) {
            if !self.may_open() {
                break;
            }
            self.come();
            self.new += 1;
            let zone = self.open.last().and_then(|machine| machine.zone.clone());
            let room = self.room(task, zone.as_ref());
            let is_right = room.is_some() || self.likeness.is_unknown();
            if let Some(machine) = self.open.last_mut().filter(|_| is_right) {
                machine.take(task);
                self.named.push(format!("{} {}", task.service, task.slot));
                return true;
            }
        }
        self.open.truncate(open);
        (self.new, self.zones) = (new, zones);
        false
    }

    /// Says whether a machine of the pool would take the task, wherever it comes.
    pub(super) fn would_take(&mut self, task: &Task) -> bool {
        if self.likeness.is_unknown() {
            return self.takes_any(task);
        }
        let zones: Vec<Option<String>> = if self.zones.is_empty() {
            vec![None]
        } else {
            self.zones.keys().cloned().map(Some).collect()
        };
        zones.iter().any(|zone| {
            let room = self.room(task, zone.as_ref());
            room.is_some_and(|room| Machine::default().fits(task, &room, 0))
        })
    }

    /// Asks for what is to be there whether or not tasks wait: so many machines, and so much that is free.
    pub(super) fn stand(&mut self) {
        while self.has.saturating_add(self.new) < self.pool.policy.least && self.may_open() {
            self.is_small = true;
            self.ask_for_one();
        }
        let headroom = self.pool.policy.headroom;
        let room = self.likeness.capacity().unwrap_or_default();
        let on_the_way = self.open.iter().map(|one| one.holds(&headroom.each, &room));
        let mut free = on_the_way.fold(self.free, u64::saturating_add);
        let each = Machine::default().holds(&headroom.each, &room);
        // One that holds none would never be enough. Of which nothing is known one is asked for, to know.
        let is_useful = each > 0 || self.likeness.is_unknown() && self.open.is_empty();
        while free < u64::from(headroom.count) && is_useful && self.may_open() {
            self.is_crowded = true;
            self.ask_for_one();
            if each == 0 {
                break;
            }
            free = free.saturating_add(each);
        }
    }

    fn ask_for_one(&mut self) {
        self.come();
        self.new += 1;
    }

    /// Why it is asked for machines.
    pub(super) fn reason(&self, most: usize) -> String {
        let headroom = self.pool.policy.headroom;
        let count = self.named.len();
        let tasks = (count > 0).then(|| {
            let named = self.named.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
            let rest = count.saturating_sub(most);
            let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("{named}{rest} found no room")
        });
        let least = self.pool.policy.least;
        let small = self.is_small.then(|| format!("it is to have at least {least}"));
        let crowded = self.is_crowded.then(|| {
            let (count, each) = (headroom.count, amount(&headroom.each));
            format!("room for {count} tasks of {each} is to stay free")
        });
        tasks.into_iter().chain(small).chain(crowded).collect::<Vec<_>>().join(", and ")
    }

    pub(super) fn shortage(self) -> Option<(String, Shortage)> {
        let (beyond, waiting, is_stuck) = (self.beyond, self.waiting, self.is_stuck);
        // A pool that is not asked for more is as large as others want it.
        let is_asked = self.new > 0 || beyond > 0;
        let machines = if is_asked { self.has.saturating_add(self.new) } else { 0 };
        let lacks = self.new > 0 || beyond > 0 || waiting > 0;
        let shortage = Shortage { machines, beyond, waiting, is_stuck };
        lacks.then(|| (self.pool.name.clone(), shortage))
    }
}

/// Says whether new tasks may go to the node.
pub(crate) fn takes_any(cluster: &Cluster, node: &Node, now: Timestamp) -> bool {
    node.availability == Availability::Active
        && node.preparing_until.is_none()
        && node.drain.is_none()
        && cluster.takes_work(node, now)
        && cluster.missed_on(&node.id).next().is_none()
}
