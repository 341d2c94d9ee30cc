//! All that the coordinator knows, and the only way to change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, ServiceId, TaskId};
use model::node::{Availability, Node};
use model::resources::Resources;
use model::service::Service;
use model::task::Task;
use model::time::Timestamp;

/// A node that was silent for so long gets no new tasks: three heartbeats of 10 s.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(30);

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
    pub(crate) heard: BTreeMap<NodeId, Timestamp>,
    /// Not stored: services to be planned again, and when.
    pub(crate) due: BTreeMap<ServiceId, Timestamp>,
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
        cluster.heard = cluster.nodes.keys().map(|node| (node.clone(), now)).collect();
        cluster.due = cluster.services.keys().map(|service| (service.clone(), now)).collect();
        cluster
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
    }

    fn remove_task(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.remove(id) else { return };
        if let Some(ids) = self.tasks_of.get_mut(&task.service) {
            ids.remove(id);
        }
        if let Some(ids) = task.node.as_ref().and_then(|node| self.tasks_on.get_mut(node)) {
            ids.remove(id);
        }
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
            && heard.is_some_and(|heard| now.since(*heard) < SUSPECT_AFTER)
    }
}
