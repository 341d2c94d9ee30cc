//! All that the coordinator knows, and the only way to change it.

mod bakes;
mod by_name;
mod change;
mod class;
mod fleet;
mod gone;
mod ground;
mod heard;
mod images;
mod leases;
mod leaving;
mod ledger;
mod load;
mod mix;
mod promised;
mod roster;
mod secrets;
mod spread;
mod stored;
mod suiting;
mod tasks;
mod traffic;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::constraint::Constraint;
use model::id::{NodeId, ServiceId, Slot, TaskId};
use model::image::Digest;
use model::job::{Completions, Job};
use model::node::{Availability, Node};
use model::policy::Profile;
use model::resources::Resources;
use model::service::Service;
use model::spec::{Mode, ServiceSpec};
use model::task::Task;
use model::time::Timestamp;

pub use self::bakes::Leftover;
pub(crate) use self::bakes::{Bakes, Look, Wait};
use self::by_name::{ByName, ByNode};
pub use self::change::Change;
use self::class::Classes;
pub(crate) use self::class::{Class, Rank};
pub(crate) use self::fleet::{Fleet, Try, name as hook_name};
pub use self::fleet::{Shortage, Spare};
pub(crate) use self::ground::Ground;
use self::ground::Grounds;
use self::images::Held;
use self::leases::Leases;
use self::leaving::Round;
pub use self::ledger::Age;
pub(crate) use self::ledger::{Door, Ledger};
pub use self::load::Load;
use self::mix::Demand;
pub(crate) use self::mix::Mix;
pub use self::mix::Packing;
use self::promised::Priorities;
pub(crate) use self::roster::Roster;
use self::secrets::Secrets;
pub(crate) use self::spread::{Line, Presence, Spot, Spread};
use self::suiting::Suiting;
pub use self::tasks::Tasks;
use self::traffic::Balancers;
pub(crate) use self::traffic::{Failure, Reach};
pub(crate) use self::zones::Zones;
use crate::event::EngineState;

/// A node that was silent for so long gets no new tasks: three heartbeats of 10 s.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(30);

/// A node that was silent for so long is taken to be cut off: six heartbeats of 10 s.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(60);

/// How many changes a step makes that is not told otherwise: few enough for a commit of some milliseconds.
pub const MAX_CHANGES: usize = 4_000;

/// The most changes of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound(pub(crate) usize);

impl Default for Bound {
    fn default() -> Self {
        Self(MAX_CHANGES)
    }
}

/// What is known of silence. Not stored: whoever takes over has heard nothing, and concludes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silence {
    /// No node can have been silent for too long before.
    pub(crate) look_at: Timestamp,
    /// When the tasks of a silent node were last given up.
    pub(crate) replaced_at: Timestamp,
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When, by the coordinator's clock.
    pub at: Timestamp,
    /// Whether the engine answered the agent then.
    pub engine: EngineState,
    /// Whether the agent has said how all of its tasks are since it was last silent.
    pub has_told_all: bool,
}

/// Says whether the two are entered into the books in the same way: mostly only what was seen has changed.
fn is_booked_alike(before: &Task, after: &Task) -> bool {
    before.booked_on() == after.booked_on()
        && before.node.is_some() == after.node.is_some()
        && before.state.is_final() == after.state.is_final()
        && before.is_missed() == after.is_missed()
        && before.desired == after.desired
        && before.moving_since == after.moving_since
        && Arc::ptr_eq(&before.generation, &after.generation)
}

/// Says whether the service has a place on each node, for itself or for a run of it.
fn has_places_on_nodes(service: &Service) -> bool {
    let modes = service.runs.active.iter().map(|run| run.generation.spec.mode);
    modes.chain([service.target.spec.mode]).any(|mode| match mode {
        Mode::Global | Mode::Job(Job { completions: Completions::EveryNode, .. }) => true,
        Mode::Replicated { .. }
        | Mode::Once
        | Mode::Job(Job { completions: Completions::Count(_), .. }) => false,
    })
}

/// What the service waits for.
fn waits_for(service: &Service) -> impl Iterator<Item = ServiceId> {
    let project = &service.id.project;
    let after = service.target.spec.after.iter();
    after.map(|after| ServiceId { project: project.clone(), name: after.on.clone() })
}

impl Sighting {
    /// Says whether the node was heard lately enough to be given work.
    pub(crate) fn is_fresh(&self, node: &Node, now: Timestamp) -> bool {
        node.availability != Availability::Dead && self.is_recent(now)
    }

    /// The same of a node that lives.
    pub(crate) fn is_recent(&self, now: Timestamp) -> bool {
        now.since(self.at) < SUSPECT_AFTER
    }
}

/// All that the coordinator knows.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    services: BTreeMap<ServiceId, Arc<Service>>,
    tasks: Tasks,
    nodes: BTreeMap<NodeId, Arc<Node>>,
    next_task: u64,
    /// Of services that have tasks; shared with copies of the cluster until one of them changes.
    rosters: ByName<ServiceId, Arc<Roster>>,
    /// Services that have a place on each node.
    globals: BTreeSet<ServiceId>,
    /// Which services wait for each.
    dependents: BTreeMap<ServiceId, BTreeSet<ServiceId>>,
    ledgers: ByNode<Ledger>,
    /// The numbers of all nodes that have joined, in the order of their ids.
    joined: Vec<usize>,
    classes: Classes,
    suiting: Suiting,
    grounds: Grounds,
    demand: Demand,
    priorities: Priorities,
    /// Their numbers are their places here.
    zones: Vec<String>,
    /// How many nodes have each image, as far as they have said.
    holders: BTreeMap<Digest, Held>,
    /// Nodes by the engine that they share.
    neighbours: BTreeMap<String, BTreeSet<NodeId>>,
    /// Not stored: services to be planned again, and when.
    pub(crate) due: BTreeMap<ServiceId, Timestamp>,
    /// Not stored: slots to be planned in the next step, of services of which the rest need not be.
    pub(crate) touched: BTreeMap<ServiceId, BTreeSet<Slot>>,
    pub(crate) silence: Silence,
    /// Not stored: see [`Cluster::bound`].
    pub(crate) most: Bound,
    /// Not stored: services with tasks that found no node.
    pub(crate) waiting: BTreeSet<ServiceId>,
    /// Not stored: services that wait for images on nodes.
    pub(crate) fetching: BTreeSet<ServiceId>,
    /// Not stored: services that could not spare a task.
    pub(crate) withheld: BTreeSet<ServiceId>,
    /// Not stored: services that could not spare a task for one that matters more.
    pub(crate) unspared: BTreeSet<ServiceId>,
    /// Nodes that are being emptied.
    draining: BTreeSet<NodeId>,
    /// Nodes that are being emptied, or are empty, because nothing needs their machines.
    shrinking: BTreeSet<NodeId>,
    /// Nodes that wait for the services of every node.
    preparing: BTreeSet<NodeId>,
    /// Tasks that are to move to where their service is spread better.
    moving: BTreeSet<TaskId>,
    leases: Leases,
    secrets: Secrets,
    pub(crate) fleet: Fleet,
    pub(crate) bakes: Bakes,
    pub(crate) traffic: Balancers,
    /// Not stored: when to look for such.
    pub(crate) round: Round,
}

impl Cluster {
    /// Rebuilds the cluster from what was stored. Every node counts as heard at `now`, so that taking over never looks
    /// like a mass death, and every service is planned again.
    #[must_use]
    pub fn load(stored: &[Change], now: Timestamp) -> Self {
        let mut cluster = Self::default();
        for change in stored {
            cluster.apply(change);
        }
        let sighting = Sighting { at: now, engine: EngineState::Ready, has_told_all: false };
        cluster.ledgers.values_mut().for_each(|ledger| ledger.seen = Some(sighting));
        cluster.round.begin(now);
        cluster.find_the_dead(now);
        cluster.due = cluster.services.keys().map(|service| (service.clone(), now)).collect();
        cluster
    }

    /// Says how many changes a step makes before it leaves the rest to the next: at least two, because a first task is
    /// written together with its number.
    pub fn bound(&mut self, max_changes: usize) {
        self.most = Bound(max_changes.max(2));
    }

    /// How many changes a step makes before it leaves the rest to the next.
    #[must_use]
    pub const fn max_changes(&self) -> usize {
        self.most.0
    }

    /// Writes one change. Nothing else changes what is stored.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutService(service) => {
                self.forget_waits(&service.id);
                self.see_switch(service);
                for id in waits_for(service) {
                    self.dependents.entry(id).or_default().insert(service.id.clone());
                }
                if has_places_on_nodes(service) {
                    self.globals.insert(service.id.clone());
                } else {
                    self.globals.remove(&service.id);
                }
                let before = self.services.insert(service.id.clone(), Arc::clone(service));
                self.demand.put_service(before.as_deref(), Some(service));
                self.priorities.put(before.as_deref(), Some(service));
            }
            Change::RemoveService(id) => {
                self.forget_waits(id);
                self.globals.remove(id);
                let before = self.services.remove(id);
                self.demand.put_service(before.as_deref(), None);
                self.priorities.put(before.as_deref(), None);
            }
            Change::PutTask(task) => self.put_task(task),
            Change::RemoveTask(id) => self.remove_task(id),
            Change::PutNode(node) => self.put_node(node),
            Change::RemoveNode(id) => self.remove_node(id),
            Change::PutPool(_) | Change::RemovePool(_) => {
                let before = self.fleet.pools.len();
                self.fleet.apply(change);
                self.see_profiles();
                if self.fleet.pools.len() != before {
                    self.bakes.touch_all();
                }
            }
            Change::PutHook(_)
            | Change::RemoveHook(_)
            | Change::PutRefresh(_)
            | Change::RemoveRefresh(_) => self.fleet.apply(change),
            Change::SetFreeze(_) => {
                self.fleet.apply(change);
                self.bakes.touch_all();
            }
            Change::PutBake(bake) => self.bakes.put(bake),
            Change::RemoveBake(id) => self.bakes.remove(id),
            Change::PutAmi(ami) => self.bakes.put_ami(ami),
            Change::RemoveAmi(id) => self.bakes.remove_ami(id),
            Change::PutUpkeep(upkeep) => self.bakes.put_upkeep(upkeep),
            Change::RemoveUpkeep(recipe) => self.bakes.remove_upkeep(recipe),
            Change::PutRegistration(registration) => self.traffic.put(registration),
            Change::RemoveRegistration(id) => self.traffic.remove(id),
            Change::PutSecret(secret) => self.secrets.put(secret),
            Change::RemoveSecret(name) => self.secrets.remove(name),
            Change::PutNextTask(number) => self.next_task = *number,
        }
    }

    fn forget_waits(&mut self, id: &ServiceId) {
        for on in self.services.get(id).into_iter().flat_map(|service| waits_for(service)) {
            if let Some(waiting) = self.dependents.get_mut(&on) {
                waiting.remove(id);
                if waiting.is_empty() {
                    self.dependents.remove(&on);
                }
            }
        }
    }

    /// The services that wait for this one.
    pub(crate) fn dependents(&self, id: &ServiceId) -> impl Iterator<Item = &ServiceId> {
        self.dependents.get(id).into_iter().flatten()
    }

    fn put_node(&mut self, node: &Arc<Node>) {
        let before = self.nodes.insert(node.id.clone(), Arc::clone(node));
        self.demand.put_node(before.as_deref(), node);
        if let Some(before) = before.as_ref().filter(|before| before.engine != node.engine)
            && let Some(others) = self.neighbours.get_mut(&before.engine)
        {
            others.remove(&node.id);
            if others.is_empty() {
                self.neighbours.remove(&before.engine);
            }
        }
        self.neighbours.entry(node.engine.clone()).or_default().insert(node.id.clone());
        let number = self.number_of(&node.id);
        self.join(number, node);
        if !before.is_some_and(|before| suiting::is_described_alike(&before, node)) {
            self.suiting.forget();
            self.grounds.forget();
        }
        if node.is_shrinking() {
            self.shrinking.insert(node.id.clone());
        } else {
            self.shrinking.remove(&node.id);
        }
        if node.is_draining() {
            self.draining.insert(node.id.clone());
        } else {
            self.draining.remove(&node.id);
        }
        self.fleet.see_node(node);
        if node.preparing_until.is_some() {
            self.preparing.insert(node.id.clone());
        } else {
            self.preparing.remove(&node.id);
        }
        self.classes.mark(number);
    }

    fn zone_number(&mut self, zone: &str) -> usize {
        self.zone(zone).unwrap_or_else(|| {
            self.zones.push(zone.to_owned());
            self.zones.len() - 1
        })
    }

    /// Takes over what the node says of itself. Its tasks count differently once it is in another zone than before or is being
    /// emptied, and when it has joined only after they were read from the store.
    fn join(&mut self, number: usize, node: &Arc<Node>) {
        let zone = self.zone_number(&node.zone);
        if self.numbered(number).is_none() {
            let is_before =
                |other: &usize| self.numbered(*other).is_some_and(|other| other.id < node.id);
            self.joined.insert(self.joined.partition_point(is_before), number);
        }
        let (profile, age) = (self.fleet.profile(node), self.fleet.age(&node.id));
        let Some(ledger) = self.ledgers.at_mut(number) else { return };
        (ledger.profile, ledger.age) = (profile, age);
        if (ledger.zone, ledger.is_emptied) == (Some(zone), node.is_draining()) {
            return ledger.join(node, zone);
        }
        let booked = ledger.tasks.iter().chain(&ledger.promised);
        let tasks = booked.filter_map(|id| self.tasks.get(id));
        let counted: Vec<_> = tasks.map(|task| (task, ledger.spot(task))).collect();
        ledger.join(node, zone);
        for (task, then) in counted {
            if let Some((then, now)) = then.zip(ledger.spot(task)) {
                let roster = self.rosters.entry(task.service.clone());
                let spread = &mut Arc::make_mut(roster).spread;
                spread.take(then);
                spread.add(now);
            }
        }
    }

    /// Where the ledger of a node is, made when there is none.
    fn number_of(&mut self, node: &NodeId) -> usize {
        let number = self.ledgers.number(node);
        self.ledgers.at_mut(number).into_iter().for_each(|ledger| ledger.number = number);
        number
    }

    fn put_task(&mut self, task: &Arc<Task>) {
        let before = self.tasks.put(task);
        self.secrets.count(before.as_deref(), Some(task));
        if before.as_deref().is_none_or(|before| !is_booked_alike(before, task)) {
            before.iter().for_each(|before| self.take_back(before));
            self.book(task);
        } else {
            Arc::make_mut(self.rosters.entry(task.service.clone())).put(task);
        }
        self.leases.put(task);
        self.traffic.see(task);
        if task.moving_since.is_some() && task.is_wanted() && !task.state.is_final() {
            self.moving.insert(task.id.clone());
        } else {
            self.moving.remove(&task.id);
        }
    }

    fn remove_task(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.remove(id) else { return };
        self.secrets.count(Some(&task), None);
        self.take_back(&task);
        self.moving.remove(id);
        self.leases.remove(id);
        self.traffic.forget_task(id);
        let Some(roster) = self.rosters.get_mut(&task.service) else { return };
        let roster = Arc::make_mut(roster);
        roster.remove(&task);
        if roster.is_empty() {
            self.rosters.remove(&task.service);
        }
    }

    /// Enters what the task takes up into all books.
    fn book(&mut self, task: &Arc<Task>) {
        // When the store is read the node joins after its tasks.
        let number = task.booked_on().map(|node| self.number_of(node));
        let roster = Arc::make_mut(self.rosters.entry(task.service.clone()));
        roster.put(task);
        let Some(number) = number else { return };
        let Some(ledger) = self.ledgers.at_mut(number) else { return };
        ledger.add(task);
        self.classes.mark(number);
        ledger.spot(task).into_iter().for_each(|spot| roster.spread.add(spot));
    }

    /// Takes back what was entered for the task as it was.
    fn take_back(&mut self, task: &Task) {
        let Some(number) = task.booked_on().and_then(|node| self.ledgers.place(node)) else {
            return;
        };
        let Some(ledger) = self.ledgers.at_mut(number) else { return };
        ledger.take(task);
        self.classes.mark(number);
        if let Some(spot) = ledger.spot(task)
            && let Some(roster) = self.rosters.get_mut(&task.service)
        {
            Arc::make_mut(roster).spread.take(spot);
        }
    }

    /// The number of a zone, if a node was ever there.
    pub(crate) fn zone(&self, name: &str) -> Option<usize> {
        self.zones.iter().position(|known| known == name)
    }

    /// How many zones there are or were.
    pub(crate) const fn zone_count(&self) -> usize {
        self.zones.len()
    }

    /// Says of each node, in the order of their ids, whether it meets these constraints.
    pub(crate) fn suiting(&mut self, asked: (&[Constraint], Profile)) -> Arc<Vec<bool>> {
        if let Some(known) = self.suiting.known(asked) {
            return known;
        }
        let suits = self.suits(asked);
        self.suiting.keep(asked, suits)
    }

    fn suits(&self, asked: (&[Constraint], Profile)) -> Vec<bool> {
        self.nodes_with_ledgers().map(|(node, ledger)| ledger.meets(node, asked)).collect()
    }

    /// Says whether the answers that are kept come out the same when nodes are asked anew.
    pub(crate) fn knows_what_suits(&self) -> bool {
        self.suiting.answers().all(|(asked, suits)| **suits == self.suits(asked))
    }

    /// Has the nodes that can take such tasks in order: see [`Cluster::class`].
    pub(crate) fn refresh_class(&mut self, spec: &ServiceSpec) {
        self.classes.refresh(spec, self.demand.mix(), &self.ledgers);
    }

    /// The nodes that can take such tasks, as they were when they were last put in order.
    pub(crate) fn class(&self, spec: &ServiceSpec) -> Option<&Class> {
        self.classes.get(spec)
    }

    /// Says whether what all services ask for comes out the same when it is counted anew.
    pub(crate) fn knows_its_mix(&self) -> bool {
        let services = self.services.values().map(|service| &**service);
        let nodes = self.nodes.values().map(|node| &**node);
        self.demand.mix() == Demand::of(services, nodes).mix()
    }

    /// What all services ask for.
    pub(crate) const fn mix(&self) -> &Arc<Mix> {
        self.demand.mix()
    }

    /// What is known of a node beside its own record.
    pub(crate) fn ledger(&self, node: &NodeId) -> Option<&Ledger> {
        self.ledgers.get(node)
    }

    pub(crate) fn ledger_mut(&mut self, node: &NodeId) -> Option<&mut Ledger> {
        self.ledgers.get_mut(node)
    }

    /// All nodes in the order of their ids, each with what is known of it besides.
    pub(crate) fn nodes_with_ledgers(&self) -> impl Iterator<Item = (&Arc<Node>, &Ledger)> {
        self.ledgers().filter_map(|(_, ledger)| Some((ledger.node.as_ref()?, ledger)))
    }

    /// The ledgers of all nodes in the order of their ids, each with its number.
    pub(crate) fn ledgers(&self) -> impl Iterator<Item = (usize, &Ledger)> {
        self.joined.iter().filter_map(|number| Some((*number, self.ledgers.at(*number)?)))
    }

    /// What is known of the node of this number.
    pub(crate) fn numbered_ledger(&self, number: usize) -> Option<&Ledger> {
        self.ledgers.at(number)
    }

    /// The node of this number and what is known of it besides.
    pub(crate) fn seat(&self, number: usize) -> Option<(&Node, &Ledger)> {
        let ledger = self.ledgers.at(number)?;
        Some((ledger.node.as_deref()?, ledger))
    }

    /// The node of this number.
    pub(crate) fn numbered(&self, number: usize) -> Option<&Arc<Node>> {
        self.ledgers.at(number)?.node.as_ref()
    }

    /// The nodes that share an engine with this one, itself among them.
    pub(crate) fn neighbours(&self, node: &Node) -> impl Iterator<Item = &Ledger> {
        let ids = self.neighbours.get(&node.engine).into_iter().flatten();
        ids.filter_map(|id| self.ledgers.get(id))
    }

    /// All services by id.
    #[must_use]
    pub const fn services(&self) -> &BTreeMap<ServiceId, Arc<Service>> {
        &self.services
    }

    /// All tasks by id, those that ended lately among them.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// All nodes by id.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<NodeId, Arc<Node>> {
        &self.nodes
    }

    /// The number of the next task: never used before in this cluster.
    #[must_use]
    pub const fn next_task(&self) -> u64 {
        self.next_task
    }

    /// The services that have a place on each node that they may use.
    pub(crate) const fn globals(&self) -> &BTreeSet<ServiceId> {
        &self.globals
    }

    /// The tasks that were placed on a node, by id.
    pub fn tasks_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let tasks = self.ledger(node).map(|ledger| &*ledger.tasks);
        tasks.into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// What the unfinished tasks of a node hold together.
    #[must_use]
    pub fn held_on(&self, node: &NodeId) -> Resources {
        self.ledger(node).map(|ledger| ledger.held).unwrap_or_default()
    }
}
