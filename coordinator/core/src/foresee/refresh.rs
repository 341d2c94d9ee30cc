//! What a refresh would do: the same steps, with a group that launches and ends machines as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::fleet::{Answer, Group, HookPhase, Instance, Lifecycle, Power, Survey, Transition};
use model::id::{NodeId, ServiceId, Slot, TaskId};
use model::node::{Availability, DrainPhase, Node};
use model::refresh::{Blueprint, Refresh, RefreshEnd, RefreshPhase, RefreshPolicy, Version};
use model::time::Timestamp;

use super::world::World;
use super::{Move, TURNS};
use crate::cluster::Cluster;
use crate::command::{Command, Outcome};
use crate::event::{Event, FleetEvent, PoolRefusal, RefreshEvent, Refusal, Target};
use crate::plan::refresh::{fingerprint, held_until, progress};

/// How long a machine takes to become a node where none of the pool has done so lately.
const BOOT: Duration = Duration::from_secs(90);
/// When nothing has happened so many seconds in a row nothing will.
const IDLE: usize = 5;
/// Why a refresh would not come to its end when nothing is left that could happen.
const STUCK: &str = "it would wait for ever";

/// What would become of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Which.
    pub instance: NodeId,
    /// From the beginning until it is empty. None when it would be left as it is.
    pub emptied_after: Option<Duration>,
    /// Why it would be left.
    pub why: String,
}

/// What a refresh would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshPlan {
    /// What it was made of: see [`crate::view::fingerprint`].
    pub fingerprint: u64,
    /// The machines that are there, in the order in which they would be emptied.
    pub machines: Vec<Replacement>,
    /// The tasks that would move, in their order.
    pub moves: Vec<Move>,
    /// How many of them would move more than once.
    pub moved_again: usize,
    /// How long it would take, with all that is watched.
    pub duration: Duration,
    /// How long a new machine is taken to need until it is a node.
    pub boot: Duration,
    /// The most machines that there would be at once.
    pub peak: usize,
    /// How many there are to be otherwise.
    pub size: usize,
    /// What would keep it from its end, or should be known before, in sentences.
    pub blockers: Vec<String>,
}

/// Says what a refresh of a pool would do, if every task starts as fast as those that run and every machine boots as fast as
/// those that were launched lately.
///
/// # Errors
/// When the refresh itself would be refused.
pub fn refresh(
    cluster: &Cluster,
    (pool, target): (&str, &Target),
    policy: &RefreshPolicy,
    now: Timestamp,
) -> Result<RefreshPlan, Refusal> {
    let group = cluster.group(pool).cloned();
    let none = || Refusal::Pool(PoolRefusal::NoBlueprint(pool.to_owned()));
    let mut region = Region::new(cluster, group.ok_or_else(none)?, now);
    let mut world = World::new(cluster, now);
    let start = RefreshEvent::Start {
        pool: pool.to_owned(),
        target: target.clone(),
        policy: policy.clone(),
        expect: None,
        after: Vec::new(),
    };
    let events = vec![Event::Fleet(FleetEvent::Refresh(start))];
    let seen = run(&mut world, &mut region, events)?;
    let refresh = world.cluster.refreshes_of(pool).last().cloned();
    let refresh = refresh.ok_or_else(none)?;
    Ok(seen.told(cluster, (&world, &region, &refresh), now))
}

/// Says how long the refresh of a pool that is under way will take from now on. None when there is none, or it would wait for ever.
#[must_use]
pub fn rest(cluster: &Cluster, pool: &str, now: Timestamp) -> Option<Duration> {
    let mut region = Region::new(cluster, cluster.group(pool)?.clone(), now);
    let mut world = World::new(cluster, now);
    let seen = run(&mut world, &mut region, Vec::new()).ok()?;
    let is_over = world.cluster.refreshes_of(pool).last()?.is_done();
    (is_over && !seen.is_stuck).then(|| world.now.since(now))
}

/// Lets time pass until the refresh of the region's pool is over, or nothing happens any more.
fn run(world: &mut World, region: &mut Region, begun: Vec<Event>) -> Result<Seen, Refusal> {
    let pool = region.group.name.clone();
    let (mut events, mut seen) = (begun, Seen::default());
    let (mut idle, mut was_quiet) = (0, false);
    for _ in 0..TURNS {
        world.turn(&events)?;
        seen.look(world, region);
        let last = world.cluster.refreshes_of(&pool).last().cloned();
        let Some(refresh) = last.filter(|refresh| !refresh.is_done()) else { break };
        events = region.obey(world);
        events.extend(world.succeed());
        let is_quiet = events.len() <= 1;
        // What is shown is looked at before time goes on.
        if !is_quiet || !std::mem::replace(&mut was_quiet, is_quiet) {
            (was_quiet, idle) = (is_quiet, if is_quiet { idle } else { 0 });
            continue;
        }
        was_quiet = false;
        if !world.sleep_until(region.next().into_iter().chain(next(world, &refresh)).min()) {
            // What was shown last is looked at a moment later.
            idle += 1;
            world.now = world.now + Duration::from_secs(1);
        }
        if idle > IDLE {
            seen.is_stuck = true;
            break;
        }
    }
    Ok(seen)
}

/// When time alone takes the refresh on.
fn next(world: &World, refresh: &Refresh) -> Option<Timestamp> {
    let held = match &refresh.phase {
        RefreshPhase::Rolling { watched_since: Some(since), .. } => {
            Some(*since + refresh.policy.hold)
        }
        RefreshPhase::Making { .. }
        | RefreshPhase::Rolling { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. }
        | RefreshPhase::Done { .. } => None,
    };
    let until = || held_until(&world.cluster, refresh, world.now)?.0;
    let held = held.or_else(until);
    let leaving = world.cluster.leaving_for_refresh(&refresh.id.pool);
    let deadlines = leaving.filter_map(|id| world.deadline(id));
    let tries = world.cluster.fleet.tries.values().map(|tried| tried.not_before);
    held.into_iter().chain(deadlines).chain(tries).filter(|at| *at > world.now).min()
}

/// A group that does as it is told.
struct Region {
    group: Group,
    machines: BTreeMap<NodeId, Instance>,
    /// Machines that boot, and until when.
    booting: BTreeMap<NodeId, Timestamp>,
    boot: Duration,
    /// What its machines are like as nodes, by zone.
    likeness: BTreeMap<String, Node>,
    launched: usize,
    /// The machine images that versions of launch templates name.
    images: BTreeMap<Version, Option<String>>,
    now: Timestamp,
}

impl Region {
    fn new(cluster: &Cluster, group: Group, now: Timestamp) -> Self {
        let of_pool = |pool: &Option<String>| pool.as_ref() == Some(&group.name);
        let machines = cluster.instances().values().filter(|one| of_pool(&one.pool));
        let machines: BTreeMap<_, _> = machines.map(|one| (one.id.clone(), one.clone())).collect();
        let nodes = cluster.nodes().values().filter(|node| of_pool(&node.pool));
        let open = nodes.filter(|node| node.availability == Availability::Active);
        let likeness = open.map(|node| (node.zone.clone(), (**node).clone())).collect();
        let boot = boot(cluster, &group.name);
        // Nobody knows for how long they have been booting.
        let boots = |one: &&Instance| match one.lifecycle {
            Lifecycle::Launching | Lifecycle::LaunchingWaits => {
                !cluster.nodes().contains_key(&one.id)
            }
            Lifecycle::InService
            | Lifecycle::Terminating
            | Lifecycle::TerminatingWaits
            | Lifecycle::Terminated
            | Lifecycle::Aside => false,
        };
        let booting = machines.values().filter(boots).map(|one| (one.id.clone(), now + boot));
        let booting = booting.collect();
        let images = cluster.fleet.images.clone();
        Self { group, machines, booting, boot, likeness, launched: 0, images, now }
    }

    fn next(&self) -> Option<Timestamp> {
        self.booting.values().min().copied()
    }

    fn members(&self) -> impl Iterator<Item = &Instance> {
        self.machines.values().filter(|one| !one.lifecycle.is_leaving() && !one.power.is_off())
    }

    /// Does what was asked, launches what is missing, and shows how it looks then.
    fn obey(&mut self, world: &mut World) -> Vec<Event> {
        self.now = world.now;
        let mut events = Vec::new();
        for command in std::mem::take(&mut world.commands) {
            let (key, outcome) = (command.key(), self.perform(command));
            events.push(Event::Fleet(FleetEvent::Performed { key, outcome }));
        }
        while self.members().count() < self.group.desired as usize {
            self.launch();
        }
        let due: Vec<NodeId> = self
            .booting
            .iter()
            .filter(|(_, at)| **at <= self.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.booting.remove(&id);
            events.extend(self.join(world, &id));
        }
        let survey = Survey {
            groups: vec![self.group.clone()],
            instances: self.machines.values().cloned().collect(),
            images: self.images.clone(),
            ..Survey::default()
        };
        events.push(Event::Fleet(FleetEvent::Surveyed(Box::new(survey))));
        events
    }

    fn perform(&mut self, command: Command) -> Outcome {
        match command {
            Command::MakeTemplate { from, ami, .. } => {
                let made = from.0.iter().map(|(id, version)| (id.clone(), version + 1));
                let made = Blueprint(made.collect());
                let images = made.versions().map(|version| (version, Some(ami.clone())));
                self.images.extend(images);
                return Outcome::Made(made);
            }
            Command::ReplaceRoot { instance, ami, .. } => {
                if let Some(machine) = self.machines.get_mut(&instance) {
                    machine.ami = Some(ami);
                }
                self.booting.insert(instance, self.now + self.boot);
            }
            Command::SetTemplate { to, .. } => self.group.blueprint = Some(to),
            Command::SetMax { to, .. } => self.group.max = to,
            Command::SetProcess { suspended: true, process, .. } => {
                self.group.suspended.insert(process.to_owned());
            }
            Command::SetProcess { suspended: false, process, .. } => {
                self.group.suspended.remove(process);
            }
            Command::SetDesired { to, .. } => self.group.desired = to.min(self.group.max),
            Command::Terminate { instance, keep, .. } => {
                let shrinks = self.group.desired > keep;
                self.group.desired -= u32::from(shrinks);
                if let Some(machine) = self.machines.get_mut(&instance) {
                    (machine.lifecycle, machine.power) = (Lifecycle::Terminated, Power::Terminated);
                }
            }
            Command::CancelRefresh { .. } => self.group.foreign = None,
            Command::SetHook { hook, .. } => self.group.hooks.push(hook),
            Command::AnswerHook { .. }
            | Command::Beat { .. }
            | Command::Bake { .. }
            | Command::Look { .. }
            | Command::Remove { .. }
            | Command::Balance { .. } => return Outcome::NothingWaits,
        }
        Outcome::Done
    }

    /// A machine is launched where there are the fewest.
    fn launch(&mut self) {
        self.launched += 1;
        let mut zones = self.group.zones.clone();
        zones.extend(self.likeness.keys().cloned());
        let in_zone = |zone: &String| self.members().filter(|one| one.zone == *zone).count();
        let zone = zones.iter().min_by_key(|zone| in_zone(zone)).cloned().unwrap_or_default();
        let Ok(id) = format!("new-{}", self.launched).parse::<NodeId>() else { return };
        let template = self.group.blueprint.as_ref().and_then(|all| all.0.first_key_value());
        let machine = Instance {
            id: id.clone(),
            pool: Some(self.group.name.clone()),
            lifecycle: Lifecycle::Launching,
            power: Power::Pending,
            zone,
            instance_type: None,
            ami: None,
            template_id: template.map(|(id, _)| id.clone()),
            template_version: template.map(|(_, version)| version.to_string()),
            is_spot: false,
            is_protected: false,
        };
        self.machines.insert(id.clone(), machine);
        self.booting.insert(id, self.now + self.boot);
    }

    /// A machine has booted, and its agent joins: it is as the others of its zone are.
    fn join(&mut self, world: &mut World, id: &NodeId) -> Vec<Event> {
        let Some(machine) = self.machines.get_mut(id) else { return Vec::new() };
        if machine.lifecycle.is_leaving() {
            return Vec::new();
        }
        (machine.lifecycle, machine.power) = (Lifecycle::InService, Power::Running);
        let like = self.likeness.get(&machine.zone).or_else(|| self.likeness.values().next());
        let Some(like) = like.cloned() else { return Vec::new() };
        let stock = world.cluster.stock(&like.id);
        let (engine, hostname) = (id.to_string(), id.to_string());
        let zone = machine.zone.clone();
        let ami = machine.ami.clone();
        let node = Node { id: id.clone(), engine, hostname, zone, ami, drain: None, ..like };
        world.hear_of(id);
        let (node, id) = (Box::new(node), id.clone());
        let reported = Event::Reported { node: id.clone(), tasks: Vec::new(), is_complete: true };
        // What a machine image brings is on each machine of it; what tasks have made there is not.
        let stock = stock.map(|mut stock| {
            stock.volumes.retain(|name| model::image::is_volume_name(name));
            Event::Images { node: id, stock }
        });
        [Event::Joined(node), reported].into_iter().chain(stock).collect()
    }
}

/// How long the machines of the pool took lately from their launch until tasks could run there; the middle one.
fn boot(cluster: &Cluster, pool: &str) -> Duration {
    let of_pool = cluster.hooks().values().filter(|hook| hook.pool == pool);
    let launched = of_pool.filter(|hook| hook.id.transition == Transition::Launching);
    let took = launched.filter_map(|hook| match &hook.phase {
        HookPhase::Answered { answer: Answer::Continue, at, .. }
        | HookPhase::Done { answer: Some(Answer::Continue), at } => Some(at.since(hook.since)),
        HookPhase::Waiting | HookPhase::Answered { .. } | HookPhase::Done { .. } => None,
    });
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or(BOOT)
}

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    emptied: BTreeMap<NodeId, Timestamp>,
    moved: Vec<(TaskId, ServiceId, Slot, Option<NodeId>)>,
    known: BTreeSet<TaskId>,
    peak: usize,
    max: u32,
    is_stuck: bool,
}

impl Seen {
    fn look(&mut self, world: &World, region: &Region) {
        self.peak = self.peak.max(region.members().count());
        self.max = self.max.max(region.group.max);
        for node in world.cluster.nodes().values() {
            if let Some(DrainPhase::Drained { since }) = node.drain.map(|drain| drain.phase) {
                self.emptied.entry(node.id.clone()).or_insert(since);
            }
        }
        for task in &world.drained {
            if self.known.insert(task.id.clone()) {
                let (id, service) = (task.id.clone(), task.service.clone());
                self.moved.push((id, service, task.slot.clone(), task.node.clone()));
            }
        }
    }

    fn told(
        self,
        cluster: &Cluster,
        (world, region, refresh): (&World, &Region, &Refresh),
        now: Timestamp,
    ) -> RefreshPlan {
        let moves = self.moved.iter().map(|(task, service, slot, from)| Move {
            task: task.clone(),
            from: from.clone(),
            // Whoever left the slot next was there in between.
            to: self.next_in(service, slot, task).or_else(|| world.holder(service, slot)),
        });
        let moves: Vec<Move> = moves.collect();
        let mut times: BTreeMap<(&ServiceId, &Slot), usize> = BTreeMap::new();
        for (_, service, slot, _) in &self.moved {
            *times.entry((service, slot)).or_default() += 1;
        }
        let was_there = |one: &&Instance| {
            one.pool.as_ref() == Some(&refresh.id.pool) && !one.lifecycle.is_leaving()
        };
        let left = progress(&world.cluster, refresh, world.now).unwrap_or_default().left;
        let machine = |one: &Instance| Replacement {
            instance: one.id.clone(),
            emptied_after: self.emptied.get(&one.id).map(|at| at.since(now)),
            why: left.get(&one.id).cloned().unwrap_or_default(),
        };
        let machines = cluster.instances().values().filter(was_there);
        let machines = machines.filter(|one| !refresh.to.made(one)).map(machine);
        let mut machines: Vec<Replacement> = machines.collect();
        machines.sort_by_key(|one| (one.emptied_after.is_none(), one.emptied_after));
        let moved_again = times.values().filter(|times| **times > 1).count();
        RefreshPlan {
            fingerprint: fingerprint(cluster, &refresh.id.pool),
            blockers: self.blockers((cluster, world, refresh), &machines),
            machines,
            moves,
            moved_again,
            duration: world.now.since(now),
            boot: region.boot,
            peak: self.peak,
            size: refresh.size as usize,
        }
    }

    fn next_in(&self, service: &ServiceId, slot: &Slot, task: &TaskId) -> Option<NodeId> {
        let mut rest = self.moved.iter().skip_while(|(id, ..)| id != task).skip(1);
        rest.find(|(_, other, at, _)| other == service && at == slot)?.3.clone()
    }

    fn blockers(
        &self,
        (cluster, world, refresh): (&Cluster, &World, &Refresh),
        machines: &[Replacement],
    ) -> Vec<String> {
        let left = machines.iter().filter(|one| one.emptied_after.is_none());
        let mut blockers: Vec<String> = left
            .filter(|one| !one.why.is_empty())
            .map(|one| format!("{} would be left as it is: {}", one.instance, one.why))
            .collect();
        match &refresh.phase {
            RefreshPhase::RollingBack { why }
            | RefreshPhase::Done { end: RefreshEnd::RolledBack { why }, .. } => {
                blockers.push(format!("it would be rolled back: {why}"));
            }
            _ if self.is_stuck => {
                let held = held_until(&world.cluster, refresh, world.now);
                let why = held.map(|(_, note)| format!(": it {note}")).unwrap_or_default();
                blockers.push(format!("{STUCK}{why}"));
            }
            RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => {}
        }
        let max = cluster.group(&refresh.id.pool).map_or(0, |group| group.max);
        if self.max > max {
            let wanted = self.max;
            blockers.push(format!(
                "the group may have {max} machines: it is allowed {wanted} for the time of the refresh"
            ));
        }
        blockers
    }
}
