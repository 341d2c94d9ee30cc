//! What is known of a node beside its own record: all of it follows from tasks, or was heard and is not stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::constraint::Constraint;
use model::id::{NodeId, ProjectName, ServiceName, TaskId};
use model::image::{Digest, own_volume};
use model::node::{Availability, Node};
use model::policy::Profile;
use model::resources::Resources;
use model::spec::{HostPort, TaskSpec};
use model::task::Task;

use super::Sighting;
use super::spread::{Presence, Spot};

/// Which new tasks a node takes, as far as its own record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Door {
    /// None.
    #[default]
    Closed,
    /// Those of services that run on every node: it has joined lately.
    Preparing,
    /// All.
    Open,
}

/// Whether the group of a machine would launch it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Age {
    /// It would, or nobody knows.
    #[default]
    Current = 0,
    /// It launches others by now: sooner or later this one is replaced.
    Old = 1,
}

/// What tasks take up on a node, and what was heard of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// The node, once it has joined.
    pub(crate) node: Option<Arc<Node>>,
    /// Its id. Here too, because whoever puts a task there needs nothing else of it.
    pub(crate) id: Option<NodeId>,
    /// What tasks may hold there, as the node says: here too, because whoever surveys all nodes reads nothing else.
    pub(crate) capacity: Resources,
    /// Whether it said that it has less than its tasks hold: a machine that was made smaller. It takes nothing until they fit.
    pub(crate) is_shrunk: bool,
    /// Whom the node takes.
    pub(crate) door: Door,
    /// The least that its pool takes.
    pub(crate) profile: Profile,
    /// Whether it is being emptied: its tasks leave.
    pub(crate) is_emptied: bool,
    /// Where the ledger is found: see [`Cluster::seat`](super::Cluster::seat).
    pub(crate) number: usize,
    /// The number of the node's zone, once it has joined: two nodes of one zone have the same.
    pub(crate) zone: Option<usize>,
    /// The tasks that were placed there by id, also those that are over. They come in this order and are few: a set would
    /// be larger, and slower to write. Copies of the cluster share them until one of them changes.
    pub(crate) tasks: Arc<Vec<TaskId>>,
    /// The highest number of a task that was ever placed there: what is newer comes last, without a look at the others.
    newest: u64,
    /// Tasks for which room is being made there.
    pub(crate) promised: BTreeSet<TaskId>,
    /// Those that are missed.
    pub(crate) missed: BTreeSet<TaskId>,
    /// What its unfinished tasks hold together, with what is promised. More than there is while room is being made.
    pub(crate) held: Resources,
    /// The fixed ports of its unfinished tasks, and of those that it is promised to.
    pub(crate) ports: Vec<HostPort>,
    /// When it was last heard.
    pub(crate) seen: Option<Sighting>,
    /// The images on its engine, once its agent has named them.
    pub(crate) images: Option<Arc<BTreeSet<Digest>>>,
    /// The layers of these images as far as they are known, by the beginnings of their names, in order.
    pub(crate) layers: Arc<[u64]>,
    /// The volumes on its engine: see [`model::image::Stock`].
    pub(crate) volumes: Arc<BTreeSet<String>>,
    /// Whether its group would launch it as it is.
    pub(crate) age: Age,
}

impl Ledger {
    /// Takes over what the node says of itself.
    pub(super) fn join(&mut self, node: &Arc<Node>, zone: usize) {
        (self.node, self.id) = (Some(Arc::clone(node)), Some(node.id.clone()));
        self.zone = Some(zone);
        self.is_emptied = node.is_draining();
        self.capacity = node.capacity;
        self.is_shrunk = !self.held.fits(&self.capacity);
        self.door = match (node.availability, node.preparing_until) {
            (Availability::Active, None) => Door::Open,
            (Availability::Active, Some(_)) => Door::Preparing,
            (Availability::Cordoned | Availability::Dead, _) => Door::Closed,
        };
    }

    /// Where a task that is booked there counts, and how. One that is over or missed does not.
    pub(crate) fn spot(&self, task: &Task) -> Option<Spot> {
        let is_there = task.booked_on().is_some() && !task.state.is_final() && !task.is_missed();
        // What only waits for room there does not leave with the others.
        let leaves = task.moving_since.is_some() || self.is_emptied && task.node.is_some();
        let stays = task.is_wanted() && !leaves;
        let presence =
            if stays { Presence::Stays(task.generation.template) } else { Presence::Leaves };
        is_there.then_some(Spot { node: self.number, zone: self.zone, presence })
    }

    /// What tasks do not hold.
    pub(crate) const fn free(&self) -> Resources {
        self.capacity.minus(&self.held)
    }

    /// Books a task that is placed there, or for which room is being made there.
    pub(super) fn add(&mut self, task: &Task) {
        if task.node.is_none() {
            self.promised.insert(task.id.clone());
        } else if task.id.number() > self.newest {
            self.newest = task.id.number();
            Arc::make_mut(&mut self.tasks).push(task.id.clone());
        } else {
            let at = self.tasks.partition_point(|known| *known < task.id);
            Arc::make_mut(&mut self.tasks).insert(at, task.id.clone());
        }
        if task.is_missed() {
            self.missed.insert(task.id.clone());
        }
        if !task.state.is_final() {
            let spec = &task.generation.spec.task;
            self.held = self.held + spec.reservation();
            self.ports.extend(spec.fixed_ports());
        }
    }

    /// Takes back what was booked for the task as it was.
    pub(super) fn take(&mut self, task: &Task) {
        self.tasks.binary_search(&task.id).into_iter().for_each(|at| {
            Arc::make_mut(&mut self.tasks).remove(at);
        });
        self.promised.remove(&task.id);
        self.missed.remove(&task.id);
        if !task.state.is_final() {
            let spec = &task.generation.spec.task;
            self.held = self.held.minus(&spec.reservation());
            self.is_shrunk &= !self.held.fits(&self.capacity);
            for port in spec.fixed_ports() {
                let at = self.ports.iter().position(|taken| *taken == port);
                at.map(|at| self.ports.swap_remove(at));
            }
        }
    }

    /// The constraints that the node, whose ledger this is, does not meet.
    pub(crate) fn unmet<'a>(
        &'a self,
        node: &'a Node,
        all: &'a [Constraint],
    ) -> impl Iterator<Item = &'a Constraint> {
        all.iter().filter(|constraint| !constraint.is_met(node, self.images.as_deref()))
    }

    /// Says whether the node, whose ledger this is, meets all of them, and takes what may do so much.
    pub(crate) fn meets(&self, node: &Node, (all, profile): (&[Constraint], Profile)) -> bool {
        self.takes(profile) && self.unmet(node, all).next().is_none()
    }

    /// Says whether the node takes what may do so much.
    pub(crate) fn takes(&self, profile: Profile) -> bool {
        profile >= self.profile
    }

    /// Volumes that the task needs and nobody has made there.
    pub(crate) fn volumes_missing<'a>(
        &'a self,
        spec: &'a TaskSpec,
    ) -> impl Iterator<Item = &'a str> {
        spec.host_volumes().filter(|name| !self.volumes.contains(*name))
    }

    /// Says whether a task of the project has left data in the volume.
    pub(crate) fn has_own_volume(&self, project: &ProjectName, name: &ServiceName) -> bool {
        self.volumes.contains(&own_volume(project, name))
    }
}
