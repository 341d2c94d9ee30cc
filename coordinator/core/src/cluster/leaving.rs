//! What is to come to a node before all else, and what is to leave its node: from one that is being emptied, or to where its service is spread better.

use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, ServiceId};
use model::node::{DrainPhase, Node};
use model::task::Task;
use model::time::Timestamp;

use super::Cluster;

/// From when nodes came or went until anything is moved: machines come in groups, and rollouts and drains are about.
const CALM: Duration = Duration::from_secs(60);

/// When the spread of services is looked at next, and how far the look around has come. Not stored: whoever takes over looks
/// around once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    /// When, if anything has changed since the last round.
    pub(crate) at: Option<Timestamp>,
    /// The last service that was looked at.
    pub(crate) after: Option<ServiceId>,
    /// Whether a task was moved in this round.
    pub(crate) has_moved: bool,
}

impl Round {
    /// Nodes have come or gone, or room has come free that was missing: it may be worth it to look around.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.at.get_or_insert(now + CALM);
    }

    /// Somebody wants to have it looked around now, from the first service on.
    pub(crate) fn begin_at_once(&mut self, now: Timestamp) {
        *self = Self { at: Some(now), ..Self::default() };
    }
}

impl Cluster {
    /// The nodes that are being emptied.
    pub fn draining(&self) -> impl Iterator<Item = &NodeId> {
        self.draining.iter()
    }

    /// Nodes that are being emptied, or are empty, because nothing needs their machines. Asked in every step.
    pub(crate) fn shrinking(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.shrinking.iter().filter_map(|id| self.nodes.get(id))
    }

    /// The nodes that wait for the services of every node.
    pub fn preparing(&self) -> impl Iterator<Item = &NodeId> {
        self.preparing.iter()
    }

    /// When the first of them has waited for long enough.
    pub(crate) fn next_opening(&self) -> Option<Timestamp> {
        self.preparing.iter().filter_map(|id| self.nodes.get(id)?.preparing_until).min()
    }

    /// The tasks that are to move to where their service is spread better.
    pub fn moving(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.moving.iter().filter_map(|id| self.tasks.get(id))
    }

    /// Says whether the task is to leave its node: another may be made in its place.
    #[must_use]
    pub fn is_leaving(&self, task: &Task) -> bool {
        task.moving_since.is_some() || self.is_on_draining(task)
    }

    /// Says whether the task is on a node that is being emptied.
    #[must_use]
    pub fn is_on_draining(&self, task: &Task) -> bool {
        !self.draining.is_empty()
            && task.node.as_ref().is_some_and(|node| self.draining.contains(node))
    }

    /// When the first of the drains that still wait has waited for long enough.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let drains = self.draining.iter().filter_map(|id| self.nodes.get(id)?.drain);
        let waiting = drains.filter(|drain| drain.phase == DrainPhase::Moving);
        waiting.map(|drain| drain.deadline).min()
    }
}
