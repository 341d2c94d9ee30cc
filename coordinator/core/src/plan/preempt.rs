//! Makes room for a task that finds none: tasks of services that matter less stop, as far as those can spare them.
//!
//! The waiting task is promised the node ([`Task::room_on`]) and its room there is booked, so that nobody else takes what comes
//! free. It is placed when the others have ended; should another node take it earlier, it goes there. A promise is looked
//! at again whenever the task is planned, so nothing depends on how far a step came: what is still to stop is stopped
//! then, and a node that can not take the task any more is given up. Only a lower class ever gives way, so that no two
//! tasks can throw each other out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::constraint::Constraint;
use model::id::{NodeId, ServiceId, TaskId};
use model::priority::Priority;
use model::resources::Resources;
use model::spec::{HostPort, Mode};
use model::task::{DesiredState, StopCause, Task};
use model::time::Timestamp;

use crate::cluster::{Cluster, SUSPECT_AFTER};
use crate::draft::Draft;
use crate::plan::budget::{self, Purpose};
use crate::plan::place::filter::{Refusal, Seat, meeting, refusals};
use crate::plan::place::{self, Counts};

/// Said of a task that matters more than others and waits all the same.
const NOBODY: &str = "no service of a lower priority can spare enough on one node";

/// What taking room on a node costs others. Less is better, and the first part that differs decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// The most important of those that stop.
    class: Option<Priority>,
    /// How many of them hold a lease, and would have to be waited for.
    leased: usize,
    /// How many of them serve and have nobody beside them.
    serving: usize,
    count: usize,
    /// Tasks of the same service in the zone, and on the node: as ever.
    in_zone: usize,
    on_node: usize,
}

/// A node that takes the task once these have ended, together with what stops there anyway. Of those that wait themselves only
/// the promise ends.
#[derive(Debug)]
struct Room {
    cost: Cost,
    victims: Vec<Arc<Task>>,
}

/// How many tasks that serve each service can spare, as far as anybody asked.
#[derive(Debug, Default)]
struct Spares {
    known: BTreeMap<ServiceId, usize>,
    /// Services that had to keep a task.
    short: BTreeSet<ServiceId>,
}

impl Spares {
    fn of(&mut self, cluster: &Cluster, id: &ServiceId) -> usize {
        if let Some(known) = self.known.get(id) {
            return *known;
        }
        let service = cluster.services().get(id);
        let spare =
            service.map_or(usize::MAX, |one| budget::spare(cluster, one, Purpose::Preemption));
        self.known.insert(id.clone(), spare);
        spare
    }
}

/// What was found out about the nodes for tasks of one generation, for the next of its tasks.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    of: Option<u64>,
    spares: Spares,
    /// Each node by what it costs to make room there, or less than it costs by now: giving something away only makes the
    /// next dearer.
    by_cost: BTreeSet<(Cost, NodeId)>,
    /// The last that was taken: its cost has changed.
    last: Option<NodeId>,
}

impl Rooms {
    /// The cheapest node on which room can be made.
    fn best(&mut self, cluster: &Cluster, task: &Task, now: Timestamp) -> Option<(NodeId, Room)> {
        if let Some(own) = task.slot.node() {
            self.spares.known.clear();
            let room = on_node(cluster, (task, own), &mut self.spares, now)?;
            return Some((own.clone(), room));
        }
        if self.of != Some(task.generation.number) {
            *self = Self { of: Some(task.generation.number), ..Self::default() };
            cluster.nodes().keys().for_each(|id| self.enter(cluster, (task, id), now));
        }
        self.spares.known.clear();
        if let Some(last) = self.last.take() {
            self.enter(cluster, (task, &last), now);
        }
        while let Some((_, id)) = self.by_cost.pop_first() {
            let Some(room) = on_node(cluster, (task, &id), &mut self.spares, now) else { continue };
            let entry = (room.cost, id);
            if self.by_cost.first().is_none_or(|next| entry < *next) {
                self.last = Some(entry.1.clone());
                return Some((entry.1, room));
            }
            self.by_cost.insert(entry);
        }
        None
    }

    fn enter(&mut self, cluster: &Cluster, (task, id): (&Task, &NodeId), now: Timestamp) {
        if let Some(room) = on_node(cluster, (task, id), &mut self.spares, now) {
            self.by_cost.insert((room.cost, id.clone()));
        }
    }
}

/// Makes room for a task that found none, if others can give way. `reserved` changes of this step are spoken for.
pub(super) fn make_room(
    draft: &mut Draft<'_>,
    rooms: &mut Rooms,
    (task, reserved): (&Task, usize),
) {
    let now = draft.now;
    let mut spares = Spares::default();
    let kept = task
        .room_on
        .as_ref()
        .and_then(|id| Some((id.clone(), on_node(draft.cluster, (task, id), &mut spares, now)?)));
    let may_look = draft.cluster.has_below(draft.cluster.priority(&task.service));
    let found = kept.or_else(|| may_look.then(|| rooms.best(draft.cluster, task, now)).flatten());
    let short = [spares.short, std::mem::take(&mut rooms.spares.short)];
    draft.cluster.unspared.extend(short.into_iter().flatten());
    let node = found.as_ref().map(|(node, _)| node.clone());
    if node != task.room_on {
        draft.give_back(task, node.as_ref());
        draft.put_task(Task { room_on: node, ..task.clone() });
    }
    let Some((node, room)) = found else {
        if may_look {
            draft.add_note(&task.id, NOBODY);
        }
        return;
    };
    // Should the node fall silent, another is looked for.
    let seen = draft.cluster.sighting(&node).map(|seen| seen.at + SUSPECT_AFTER);
    seen.into_iter().for_each(|at| draft.wake(&task.service, at));
    for victim in &room.victims {
        if draft.room() <= reserved {
            return draft.touch(&task.service);
        }
        match victim.node {
            Some(_) => draft.stop(victim, StopCause::Preemption),
            None => draft.put_task(Task { room_on: None, ..(**victim).clone() }),
        }
        draft.touch_slot(&victim.service, &victim.slot);
    }
    let note = format!("waits: room is made for it on {node}, where what matters less stops");
    draft.note(&task.id, note);
}

/// Says whether room could be made for the task on another node than its own, or names the services that would have to spare
/// more for that.
pub(super) fn could(
    cluster: &Cluster,
    task: &Task,
    now: Timestamp,
) -> Result<(), BTreeSet<ServiceId>> {
    let mut spares = Spares::default();
    let may = cluster.has_below(cluster.priority(&task.service));
    let mut others = cluster.nodes().keys().filter(|id| task.node.as_ref() != Some(id));
    let is_found = may && others.any(|id| on_node(cluster, (task, id), &mut spares, now).is_some());
    if is_found { Ok(()) } else { Err(spares.short) }
}

/// Says whether all that the node does not meet may be met once its images are known.
fn waits_for_images(task: &Task, (node, ledger): Seat<'_>) -> bool {
    ledger.unmet(node, &task.generation.spec.task.constraints).all(Constraint::needs_images)
}

/// What has to stop on the node, if it would take the task then.
fn on_node(
    cluster: &Cluster,
    (task, id): (&Task, &NodeId),
    spares: &mut Spares,
    now: Timestamp,
) -> Option<Room> {
    let seat = place::seat(cluster, id)?;
    let counts = Counts::beside(cluster, task);
    let is_unheard = task.room_on.as_ref() == Some(id) && seat.1.images.is_none();
    let gives_way = |refusal| match refusal {
        Refusal::Full(_) | Refusal::Port(_) => true,
        // Who has taken over has not heard yet what is on the disk there: what was promised stays promised until then (simulation,
        // seed 132).
        Refusal::Volume(_) => is_unheard,
        Refusal::Constraint(_) => is_unheard && waits_for_images(task, seat),
        Refusal::Closed
        | Refusal::Silent
        | Refusal::Engine
        | Refusal::Returning
        | Refusal::Preparing
        | Refusal::OtherSlot
        | Refusal::Profile(_)
        | Refusal::Enough(_) => false,
    };
    if !refusals(cluster, (task, counts), seat, now).all(gives_way) {
        return None;
    }
    let mut claim = Claim::of(cluster, task, id)?;
    let live = cluster.tasks_on(id).filter(|other| !other.state.is_final());
    let (going, staying): (Vec<_>, Vec<_>) =
        live.partition(|other| matches!(other.desired, DesiredState::Stop { .. }));
    going.iter().for_each(|other| claim.free(other));
    let mut chosen: Vec<(&Arc<Task>, bool)> = Vec::new();
    // What is only promised to a lower class costs nobody anything.
    let own = cluster.priority(&task.service);
    let promised = cluster.promised_on(id).filter(|one| cluster.priority(&one.service) < own);
    let promised: Vec<_> = promised.map(|one| (one, false)).collect();
    for (victim, costs) in promised.into_iter().chain(spared(cluster, (task, &staying), spares)) {
        if claim.is_met() {
            break;
        }
        claim.free(victim);
        chosen.push((victim, costs));
    }
    if !claim.is_met() {
        return None;
    }
    let needed = claim.without_the_needless(chosen);
    let is_placed = |(victim, _): &&(&Arc<Task>, bool)| victim.node.is_some();
    let class = |(victim, _): &(&Arc<Task>, bool)| cluster.priority(&victim.service);
    let zone = seat.1.zone.map_or(0, |zone| counts.in_zone(zone));
    Some(Room {
        cost: Cost {
            class: needed.iter().filter(is_placed).map(class).max(),
            leased: needed.iter().filter(|(victim, _)| cluster.lease(&victim.id).is_some()).count(),
            serving: needed.iter().filter(|(_, costs)| *costs).count(),
            count: needed.iter().filter(is_placed).count(),
            in_zone: zone,
            on_node: counts.on_node(seat.1.number),
        },
        victims: needed.into_iter().map(|(victim, _)| Arc::clone(victim)).collect(),
    })
}

/// Those of the tasks that may be stopped for this one, the least important first, and of each whether its service has less
/// without it.
fn spared<'a>(
    cluster: &Cluster,
    (task, staying): (&Task, &[&'a Arc<Task>]),
    spares: &mut Spares,
) -> Vec<(&'a Arc<Task>, bool)> {
    let own = cluster.priority(&task.service);
    let gives_way = |other: &&Arc<Task>| {
        let may = match other.generation.spec.mode {
            Mode::Replicated { .. } | Mode::Job(_) => true,
            // It has no other place, as what it would give way to must not have either.
            Mode::Global => task.generation.spec.mode == Mode::Global,
            // It can not be run again by us.
            Mode::Once => false,
        };
        may && cluster.priority(&other.service) < own
    };
    let costs = |other: &Task, gone: &[&TaskId]| {
        let service = cluster.services().get(&other.service);
        service.is_some_and(|service| budget::costs(cluster, service, (other, gone)))
    };
    let lower = staying.iter().copied().filter(gives_way).map(|other| (other, costs(other, &[])));
    let mut lower: Vec<_> = lower.collect();
    lower.sort_by_cached_key(|(other, costs)| {
        let newest = Reverse((other.created_at, other.id.clone()));
        (cluster.priority(&other.service), cluster.lease(&other.id).is_some(), *costs, newest)
    });
    // Of each service those that are given away, and how many of them it has less then. Of two that serve side by side in a slot
    // the second costs what the first did not (simulation, seed 4339).
    let mut given: BTreeMap<&ServiceId, (Vec<&TaskId>, usize)> = BTreeMap::new();
    lower.retain_mut(|(other, is_less)| {
        let (gone, less) = given.entry(&other.service).or_default();
        *is_less = costs(other, gone);
        let may = !*is_less || *less < spares.of(cluster, &other.service);
        if may {
            gone.push(&other.id);
            *less += usize::from(*is_less);
        } else {
            spares.short.insert(other.service.clone());
        }
        may
    });
    lower
}

/// What a task asks of a node, and what is in its way there.
#[derive(Debug)]
struct Claim {
    asked: Resources,
    capacity: Resources,
    /// What others hold.
    held: Resources,
    /// Each of its fixed ports, and how many others have it.
    ports: Vec<(HostPort, usize)>,
}

impl Claim {
    fn of(cluster: &Cluster, task: &Task, id: &NodeId) -> Option<Self> {
        let (node, ledger) = place::seat(cluster, id)?;
        let spec = &task.generation.spec.task;
        let is_here = task.booked_on() == Some(id);
        let own = if is_here { spec.reservation() } else { Resources::default() };
        let ports = spec.fixed_ports();
        Some(Self {
            asked: spec.reservation(),
            capacity: node.capacity,
            held: ledger.held.minus(&own),
            ports: ports.map(|port| (port, meeting(cluster, node, &port, Some(task)))).collect(),
        })
    }

    /// A task on the node ends.
    fn free(&mut self, other: &Task) {
        let spec = &other.generation.spec.task;
        self.held = self.held.minus(&spec.reservation());
        for (port, others) in &mut self.ports {
            *others -= spec.fixed_ports().filter(|held| held.meets(port)).count();
        }
    }

    /// A task on the node stays after all.
    fn keep(&mut self, other: &Task) {
        let spec = &other.generation.spec.task;
        self.held = self.held + spec.reservation();
        for (port, others) in &mut self.ports {
            *others += spec.fixed_ports().filter(|held| held.meets(port)).count();
        }
    }

    fn is_met(&self) -> bool {
        (self.held + self.asked).fits(&self.capacity)
            && self.ports.iter().all(|(_, others)| *others == 0)
    }

    /// Spares those without which it is met as well, the most important first.
    fn without_the_needless(
        mut self,
        mut chosen: Vec<(&Arc<Task>, bool)>,
    ) -> Vec<(&Arc<Task>, bool)> {
        for at in (0..chosen.len()).rev() {
            let Some((victim, _)) = chosen.get(at).copied() else { break };
            self.keep(victim);
            if self.is_met() {
                chosen.remove(at);
            } else {
                self.free(victim);
            }
        }
        chosen
    }
}
