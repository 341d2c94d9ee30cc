//! All that the coordinator knows, and the only way to change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, ServiceId, TaskId};
use model::image::Digest;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::service::Service;
use model::spec::TaskSpec;
use model::task::Task;
use model::time::Timestamp;

use crate::event::EngineState;

/// A node that was silent for so long gets no new tasks: three heartbeats of 10 s.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(30);

/// A node that was silent for so long is taken to be cut off: six heartbeats of 10 s.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(60);

/// How many changes a step makes that is not told otherwise: few enough for a commit of some milliseconds.
pub const MAX_CHANGES: usize = 1_000;

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

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds a service or replaces it.
    PutService(Arc<Service>),
    /// Forgets a service.
    RemoveService(ServiceId),
    /// Adds a task or replaces it.
    PutTask(Arc<Task>),
    /// Forgets a task.
    RemoveTask(TaskId),
    /// Adds a node or replaces it.
    PutNode(Arc<Node>),
    /// Says that all task numbers below are used, also those of services that are long forgotten.
    PutNextTask(u64),
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

/// All that the coordinator knows.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    services: BTreeMap<ServiceId, Arc<Service>>,
    tasks: BTreeMap<TaskId, Arc<Task>>,
    nodes: BTreeMap<NodeId, Arc<Node>>,
    next_task: u64,
    tasks_of: BTreeMap<ServiceId, BTreeSet<TaskId>>,
    tasks_on: BTreeMap<NodeId, BTreeSet<TaskId>>,
    /// Not stored: when each node was last heard.
    pub(crate) heard: BTreeMap<NodeId, Sighting>,
    /// Not stored: services to be planned again, and when.
    pub(crate) due: BTreeMap<ServiceId, Timestamp>,
    pub(crate) silence: Silence,
    /// Not stored: see [`Cluster::bound`].
    pub(crate) most: Bound,
    /// Not stored: the images on the engine of each node.
    images: BTreeMap<NodeId, Arc<BTreeSet<Digest>>>,
    /// The tasks of each node that are missed.
    missed_on: BTreeMap<NodeId, BTreeSet<TaskId>>,
    /// Not stored: services with tasks that found no node.
    pub(crate) waiting: BTreeSet<ServiceId>,
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
        cluster.heard = cluster.nodes.keys().map(|node| (node.clone(), sighting)).collect();
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
                self.services.insert(service.id.clone(), Arc::clone(service));
            }
            Change::RemoveService(id) => {
                self.services.remove(id);
            }
            Change::PutTask(task) => self.put_task(task),
            Change::RemoveTask(id) => self.remove_task(id),
            Change::PutNode(node) => {
                self.nodes.insert(node.id.clone(), Arc::clone(node));
            }
            Change::PutNextTask(number) => self.next_task = *number,
        }
    }

    fn put_task(&mut self, task: &Arc<Task>) {
        self.tasks_of.entry(task.service.clone()).or_default().insert(task.id.clone());
        if let Some(node) = &task.node {
            self.tasks_on.entry(node.clone()).or_default().insert(task.id.clone());
        }
        self.tasks.insert(task.id.clone(), Arc::clone(task));
        self.index_missed(task);
    }

    fn index_missed(&mut self, task: &Task) {
        let Some(node) = &task.node else { return };
        if task.is_missed() {
            self.missed_on.entry(node.clone()).or_default().insert(task.id.clone());
        } else if let Some(missed) = self.missed_on.get_mut(node) {
            missed.remove(&task.id);
            if missed.is_empty() {
                self.missed_on.remove(node);
            }
        }
    }

    fn remove_task(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.remove(id) else { return };
        if let Some(ids) = self.tasks_of.get_mut(&task.service) {
            ids.remove(id);
        }
        if let Some(ids) = task.node.as_ref().and_then(|node| self.tasks_on.get_mut(node)) {
            ids.remove(id);
        }
        self.index_missed(&Task { missed_at: None, ..(*task).clone() });
    }

    /// All services by id.
    #[must_use]
    pub const fn services(&self) -> &BTreeMap<ServiceId, Arc<Service>> {
        &self.services
    }

    /// All tasks by id, those that ended lately among them.
    #[must_use]
    pub const fn tasks(&self) -> &BTreeMap<TaskId, Arc<Task>> {
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

    /// The tasks of a service, by id.
    pub fn tasks_of(&self, service: &ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_of.get(service).into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// The tasks of a node that are missed, by id: see [`Task::is_missed`].
    pub fn missed_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.missed_on.get(node).into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// Says whether the node is heard again and has said how each of its tasks is.
    #[must_use]
    pub fn is_back(&self, node: &NodeId, now: Timestamp) -> bool {
        let has_told_all = self.heard.get(node).is_some_and(|seen| seen.has_told_all);
        has_told_all && self.nodes.get(node).is_some_and(|node| self.is_heard(node, now))
    }

    /// The tasks that were placed on a node, by id.
    pub fn tasks_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_on.get(node).into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// What the unfinished tasks of a node hold together.
    #[must_use]
    pub fn held_on(&self, node: &NodeId) -> Resources {
        let live = self.tasks_on(node).filter(|task| !task.state.is_final());
        live.map(|task| task.generation.spec.task.reservation()).sum()
    }

    /// Says whether the node was heard lately enough to be given work.
    #[must_use]
    pub fn is_heard(&self, node: &Node, now: Timestamp) -> bool {
        let heard = self.heard.get(&node.id);
        node.availability != Availability::Dead
            && heard.is_some_and(|heard| now.since(heard.at) < SUSPECT_AFTER)
    }

    /// Says whether the node was heard lately and its engine answers.
    #[must_use]
    pub fn takes_work(&self, node: &Node, now: Timestamp) -> bool {
        let engine = self.heard.get(&node.id).map(|heard| heard.engine);
        self.is_heard(node, now) && engine == Some(EngineState::Ready)
    }

    /// When the node was last heard, and whether its engine answered then.
    #[must_use]
    pub fn sighting(&self, node: &NodeId) -> Option<Sighting> {
        self.heard.get(node).copied()
    }

    /// Counts every node as heard at `now`: the coordinator itself was away, and knows nothing of the silence.
    pub fn forgive(&mut self, now: Timestamp) {
        self.heard.values_mut().for_each(|sighting| sighting.at = now);
    }

    /// Writes down a sign of life that another copy of the cluster has heard.
    pub fn saw(&mut self, node: &NodeId, sighting: Sighting) {
        if self.nodes.contains_key(node) {
            self.heard.insert(node.clone(), sighting);
        }
    }

    /// Writes down which images the engine of a node has.
    pub fn saw_images(&mut self, node: &NodeId, digests: Arc<BTreeSet<Digest>>) {
        if self.nodes.contains_key(node) {
            self.images.insert(node.clone(), digests);
        }
    }

    /// The images that the engine of a node has, as far as its agent has said.
    #[must_use]
    pub fn images(&self, node: &NodeId) -> Option<&Arc<BTreeSet<Digest>>> {
        self.images.get(node)
    }

    /// How many different images of the task the node would have to fetch first.
    #[must_use]
    pub fn images_missing(&self, node: &NodeId, spec: &TaskSpec) -> usize {
        let wanted: BTreeSet<&Digest> =
            spec.containers.iter().map(|one| one.image.digest()).collect();
        let there = self.images.get(node);
        wanted
            .into_iter()
            .filter(|digest| !there.is_some_and(|there| there.contains(*digest)))
            .count()
    }

    /// Everything that is stored, as the changes that rebuild it.
    #[must_use]
    pub fn stored(&self) -> Vec<Change> {
        let services = self.services.values().cloned().map(Change::PutService);
        let tasks = self.tasks.values().cloned().map(Change::PutTask);
        let nodes = self.nodes.values().cloned().map(Change::PutNode);
        services.chain(tasks).chain(nodes).chain([Change::PutNextTask(self.next_task)]).collect()
    }
}
