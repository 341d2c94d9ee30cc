//! Where the other tasks of a service are, from the point of view of one of them.

use std::sync::Arc;

use model::id::NodeId;
use model::task::{FailureKind, Task, TaskState};

use crate::cluster::{Cluster, Line, Presence, Spot, Spread};

/// How many tasks of its service, itself not counted, each node and each zone has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts<'a> {
    spread: Option<&'a Spread>,
    /// Those that are of its template and are to stay: it is spread among them.
    line: Option<&'a Line>,
    /// Where the task itself counts.
    own: Option<Spot>,
    /// The tasks of its slot.
    slot: &'a [Arc<Task>],
}

impl<'a> Counts<'a> {
    /// Counts the tasks beside this one.
    pub(crate) fn beside(cluster: &'a Cluster, task: &Task) -> Self {
        let spread = cluster.spread(&task.service);
        let line = spread.and_then(|spread| spread.line(task.generation.template));
        let is_known = cluster.tasks().contains_key(&task.id);
        let slot = cluster.tasks_in(&task.service, &task.slot);
        Self { spread, line, own: cluster.spot(task).filter(|_| is_known), slot }
    }

    /// The nodes on which a task of the slot has failed by no fault of its own: see [`Score::has_failed`](super::Score).
    pub(crate) fn failed_on(&self) -> impl Iterator<Item = &'a NodeId> + use<'a> {
        let is_of_host = |task: &&Arc<Task>| match &task.state {
            TaskState::Failed { kind: FailureKind::Host | FailureKind::Image, .. } => true,
            TaskState::Failed { kind: FailureKind::Application, .. }
            | TaskState::Pending
            | TaskState::Assigned
            | TaskState::Fetching
            | TaskState::Preparing
            | TaskState::Running { .. }
            | TaskState::Completed
            | TaskState::Lost => false,
        };
        self.slot.iter().filter(is_of_host).filter_map(|task| task.node.as_ref())
    }

    /// Says whether there are any at all.
    pub(crate) const fn is_any(&self) -> bool {
        self.spread.is_some()
    }

    /// Says whether there is any that the task is spread among.
    pub(crate) fn has_others(&self) -> bool {
        self.line.is_some_and(|line| line.total() > 0)
    }

    /// Those that the task is spread among, on the node of this number.
    pub(crate) fn on_node(&self, node: usize) -> usize {
        let own = self.own_in_line().is_some_and(|own| own.node == node);
        self.line.map_or(0, |line| line.on_node(node)).saturating_sub(usize::from(own))
    }

    /// Those that the task is spread among, in the zone of this number.
    pub(crate) fn in_zone(&self, zone: usize) -> usize {
        let own = self.own_in_line().is_some_and(|own| own.zone == Some(zone));
        self.line.map_or(0, |line| line.in_zone(zone)).saturating_sub(usize::from(own))
    }

    /// All that are on the node of this number, whatever they are and however long they stay.
    pub(crate) fn present(&self, node: usize) -> usize {
        let own = self.own.is_some_and(|own| own.node == node);
        self.spread.map_or(0, |spread| spread.present(node)).saturating_sub(usize::from(own))
    }

    fn own_in_line(&self) -> Option<Spot> {
        self.own.filter(|own| match own.presence {
            Presence::Stays(_) => true,
            Presence::Leaves => false,
        })
    }
}
