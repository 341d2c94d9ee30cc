//! Leases, as tasks of a script take them.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::event::{Event, Report};
use coordinator_core::view;
use model::id::ServiceId;
use model::task::{Task, TaskState};
use model::time::Timestamp;

use super::balancers::containers;
use super::play::{Play, short};

impl Play {
    /// The newest task of a slot takes a lease, or gives it back: then it is for no time. One that is waited for comes first.
    pub(crate) fn lease(&mut self, id: &ServiceId, slot: &str, time: Duration) {
        let is_meant = |task: &&Arc<Task>| task.service == *id && task.slot.to_string() == slot;
        let waited_for = self.cluster.patient().filter(is_meant).last().cloned();
        let task = waited_for.unwrap_or_else(|| self.newest(id, slot));
        self.leases.insert(task.id.clone(), self.now + time);
        let said = self.report(&task, task.state.clone());
        let node = task.node.clone().unwrap();
        self.hear(&[Event::Reported { node, tasks: vec![said], is_complete: false }]);
        // A stop may have waited for it.
        if let Some(key) = self.due.keys().find(|(_, other)| *other == task.id).cloned() {
            self.due.remove(&key);
            let task = self.cluster.tasks().get(&task.id).cloned().unwrap();
            self.react(&task);
        }
    }

    /// When a task that is to stop begins to: as its agent would.
    pub(crate) fn ends_at(&self, task: &Task) -> Timestamp {
        let held = self.leases.get(&task.id).filter(|_| task.desired.patience().is_some());
        held.map_or(self.now, |until| self.now.max(*until))
    }

    pub(crate) fn report(&self, task: &Task, state: TaskState) -> Report {
        let (restarts, note) = (task.restarts, String::new());
        let containers = containers(task);
        let lease = self.leases.get(&task.id).copied().filter(|until| self.now < *until);
        Report { task: task.id.clone(), state, restarts, note, containers, lease }
    }

    /// What a task waits for, in the words that operators are shown.
    pub(crate) fn waits(&self, task: &Arc<Task>) -> String {
        let stops = view::stop_wait(&self.cluster, task).map(|wait| wait.to_string());
        let wait = stops.or_else(|| view::traffic_wait(&self.cluster, task));
        wait.map(|wait| format!(", {wait}")).unwrap_or_default()
    }

    /// Of which task a line is.
    pub(crate) fn line(&self, task: &Arc<Task>) -> String {
        let node = task.node.as_ref().map_or_else(|| "no node".to_owned(), ToString::to_string);
        let is_wanted = task.desired == model::task::DesiredState::Run;
        let stops = if is_wanted { "" } else { ", stopping" };
        format!("{} on {node}: {}{stops}{}", short(task), task.state, self.waits(task))
    }
}
