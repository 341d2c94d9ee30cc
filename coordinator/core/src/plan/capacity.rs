//! Asks for more machines when tasks find no room: as many as those tasks fill, of the first pool whose machines would take
//! them, and no more than its group may have.
//!
//! What is on its way counts as room. Nothing is remembered: how many are wanted follows from what waits, so that a task that
//! is gone asks for nothing, and whoever takes over asks for the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::fleet::Group;
use model::id::{ServiceId, Slot};
use model::node::{Availability, Node};
use model::resources::Resources;
use model::spec::HostPort;
use model::task::Task;

use crate::cluster::{Cluster, Shortage};
use crate::draft::Draft;
use crate::explain::growth::Likeness;

/// It is counted no more often: tasks come in numbers, and machines take a minute.
const EVERY: Duration = Duration::from_secs(1);
/// So many waiting tasks are counted at once: those beyond find room with the next look.
const TASKS: usize = 1_000;

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let cluster = &*draft.cluster;
    let grows = cluster.pools().values().any(|pool| pool.policy.grows);
    if !grows || cluster.waiting.is_empty() {
        draft.cluster.fleet.shortage.clear();
        draft.cluster.fleet.count_at = None;
        return;
    }
    let due = cluster.fleet.count_at.is_none_or(|at| at <= draft.now);
    if due {
        draft.cluster.fleet.shortage = shortage(cluster);
        draft.cluster.fleet.count_at = Some(draft.now + EVERY);
    }
}

/// How many machines each pool lacks.
fn shortage(cluster: &Cluster) -> BTreeMap<String, Shortage> {
    let mut pools: Vec<Growing<'_>> = growing(cluster).collect();
    let mut waiting: Vec<&Arc<Task>> = waiting(cluster).take(TASKS).collect();
    waiting.sort_by_key(|task| (Reverse(cluster.priority(&task.service)), task.id.number()));
    for task in waiting {
        let is_placed = pools.iter_mut().any(|pool| pool.takes(task));
        if !is_placed && !pools.iter_mut().any(|pool| pool.opens(task)) {
            // It is the others that could have taken it, were they larger.
            let full = pools.iter_mut().filter(|pool| pool.is_full());
            let full = full.map(|pool| (pool.would_take(task), pool)).find(|(would, _)| *would);
            full.into_iter().for_each(|(_, pool)| pool.beyond += 1);
        }
    }
    pools.into_iter().filter_map(Growing::shortage).collect()
}

/// Tasks for which there is no room, and none is being made. What belongs to a node goes nowhere else, however many come.
fn waiting(cluster: &Cluster) -> impl Iterator<Item = &Arc<Task>> {
    let tasks = cluster.waiting.iter().flat_map(|service| cluster.tasks_of(service));
    tasks.filter(|task| {
        let may_go_anywhere = match task.slot {
            Slot::Replica(_) | Slot::RunReplica { .. } => true,
            Slot::Node(_) | Slot::RunNode { .. } => false,
        };
        let waits = task.is_wanted() && !task.state.is_final() && task.booked_on().is_none();
        may_go_anywhere && waits
    })
}

fn growing(cluster: &Cluster) -> impl Iterator<Item = Growing<'_>> {
    let pools = cluster.pools().values().filter(|pool| pool.policy.grows);
    let groups = pools.filter_map(|pool| cluster.group(&pool.name));
    groups.filter(|group| !group.suspended.contains("Launch")).map(|group| {
        let nodes = cluster.nodes().values();
        let nodes = nodes.filter(|node| node.pool.as_ref() == Some(&group.name));
        let living = nodes.filter(|node| node.availability != Availability::Dead);
        let living: Vec<&Arc<Node>> = living.collect();
        let staying = living.iter().filter(|node| !node.is_draining()).count();
        let staying = u32::try_from(staying).unwrap_or(u32::MAX);
        let likeness = Likeness::of(cluster, &living);
        let on_the_way = group.desired.saturating_sub(staying);
        // What the cloud has said may be older than the last machine that has come.
        let has = group.desired.max(staying);
        // More than there are tasks to put on them need not be told apart.
        let told_apart = usize::try_from(on_the_way).unwrap_or(usize::MAX).min(TASKS);
        let open = (0..told_apart).map(|_| Machine::default()).collect();
        Growing { group, has, likeness, open, new: 0, beyond: 0, rooms: BTreeMap::new() }
    })
}

/// A pool, and what it would have once the machines that it lacks are there.
struct Growing<'a> {
    group: &'a Group,
    /// How many machines it has, those on their way among them.
    has: u32,
    likeness: Likeness<'a>,
    /// Machines that are on their way, and those that are asked for.
    open: Vec<Machine>,
    /// How many of them are asked for.
    new: u32,
    /// How many tasks it could have taken if its group were larger.
    beyond: u32,
    rooms: BTreeMap<(ServiceId, u64), Option<Resources>>,
}

/// A machine that is not there yet, with what it is to run.
#[derive(Default)]
struct Machine {
    held: Resources,
    ports: Vec<HostPort>,
    counts: BTreeMap<ServiceId, u32>,
}

impl Growing<'_> {
    fn is_full(&self) -> bool {
        self.has.saturating_add(self.new) >= self.group.max
    }

    /// What a machine of the pool has for such tasks. Those of one template are all alike.
    fn room(&mut self, task: &Task) -> Option<Resources> {
        let asked = (task.service.clone(), task.generation.template);
        let likeness = &self.likeness;
        *self.rooms.entry(asked).or_insert_with(|| likeness.room(task))
    }

    /// Puts the task on a machine that comes anyway, if there is one for it.
    fn takes(&mut self, task: &Task) -> bool {
        let Some(room) = self.room(task) else {
            // Nobody knows what its machines are like until the first is there.
            return self.likeness.is_unknown() && !self.open.is_empty();
        };
        let machine = self.open.iter_mut().find(|machine| machine.fits(task, &room));
        machine.map(|machine| machine.take(task)).is_some()
    }

    /// Asks for one machine more, if it would take the task.
    fn opens(&mut self, task: &Task) -> bool {
        if self.is_full() || !self.would_take(task) {
            return false;
        }
        let mut machine = Machine::default();
        machine.take(task);
        self.open.push(machine);
        self.new += 1;
        true
    }

    fn would_take(&mut self, task: &Task) -> bool {
        match self.room(task) {
            Some(room) => Machine::default().fits(task, &room),
            None => self.likeness.is_unknown(),
        }
    }

    fn shortage(self) -> Option<(String, Shortage)> {
        let shortage =
            Shortage { machines: self.has.saturating_add(self.new), beyond: self.beyond };
        let lacks = self.new > 0 || self.beyond > 0;
        lacks.then(|| (self.group.name.clone(), shortage))
    }
}

impl Machine {
    fn fits(&self, task: &Task, room: &Resources) -> bool {
        let spec = &task.generation.spec.task;
        let limit = spec.max_per_node.unwrap_or(u32::MAX);
        let count = self.counts.get(&task.service).copied().unwrap_or_default();
        let mut ports = spec.fixed_ports();
        count < limit
            && spec.reservation().fits(&room.minus(&self.held))
            && !ports.any(|port| self.ports.iter().any(|taken| taken.meets(&port)))
    }

    fn take(&mut self, task: &Task) {
        let spec = &task.generation.spec.task;
        self.held = self.held + spec.reservation();
        self.ports.extend(spec.fixed_ports());
        *self.counts.entry(task.service.clone()).or_default() += 1;
    }
}
