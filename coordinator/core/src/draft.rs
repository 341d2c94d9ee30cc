//! A step in the making: every pass sees the writes of those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{NodeId, ServiceId, Slot, TaskId};
use model::image::Image;
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;
use model::traffic::Traffic;

use crate::Step;
use crate::cluster::{Change, Cluster};
use crate::command;
use crate::plan::{bake, balance, hooks, lease, secret, traffic, upkeep};

#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) now: Timestamp,
    /// Slots of each service that may move to the target now: said by rollout, done by reconcile.
    pub(crate) admitted: BTreeMap<ServiceId, BTreeSet<Slot>>,
    /// Of services whose rollout may not go everywhere: the slots in which the target is tried. In others a task that is
    /// lost is made anew as it was. Said by rollout, heeded by reconcile.
    pub(crate) reach: BTreeMap<ServiceId, BTreeSet<Slot>>,
    /// Tasks that were made and are not written yet: reconcile leaves them to place, so that most are written once and not
    /// twice. There is room for them.
    pub(crate) made: Vec<Arc<Task>>,
    /// Images that nodes are to have before what runs there is stopped.
    pub(crate) fetches: BTreeMap<NodeId, BTreeSet<Image>>,
    changes: Vec<Change>,
    notes: BTreeMap<TaskId, String>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(cluster: &'a mut Cluster, now: Timestamp) -> Self {
        let (admitted, reach, notes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (made, changes, fetches) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { cluster, now, admitted, reach, made, fetches, changes, notes }
    }

    /// How many changes were made so far.
    pub(crate) const fn written(&self) -> usize {
        self.changes.len()
    }

    /// How many more changes fit into this step.
    pub(crate) fn room(&self) -> usize {
        self.cluster.most.0.saturating_sub(self.changes.len() + self.made.len())
    }

    /// Says whether the rest is to be left to the next step.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0
    }

    pub(crate) fn write(&mut self, change: Change) {
        self.cluster.apply(&change);
        self.changes.push(change);
    }

    pub(crate) fn put_service(&mut self, service: Service) {
        self.touch(&service.id);
        let before = self.cluster.classes_present();
        self.write(Change::PutService(Arc::new(service)));
        if self.cluster.classes_present() != before {
            // There may be somebody now who gives way.
            self.touch_waiting();
        }
    }

    pub(crate) fn put_task(&mut self, task: Task) {
        // No load balancer is waited for when nothing runs any more.
        let traffic = if task.state.is_final() { Traffic::Out } else { task.traffic };
        let task = Task { traffic, ..task };
        self.write(Change::PutTask(Arc::new(task)));
    }

    /// Asks the task to stop. The first cause stays, unless it was one that agents hesitate about and now an operator
    /// asks for it. A task that was never placed is forgotten at once, and its slot looked at again.
    pub(crate) fn stop(&mut self, task: &Task, cause: StopCause) {
        if task.state == TaskState::Pending {
            self.give_back(task, None);
            self.write(Change::RemoveTask(task.id.clone()));
            return self.touch(&task.service);
        }
        let patience = lease::patience(self.cluster, task, (cause, self.now));
        let is_news = match task.desired {
            DesiredState::Run => true,
            DesiredState::Stop { cause: first, patience: until } => {
                let hurries = until.is_some() && patience.is_none();
                cause == StopCause::Operator
                    && (!first.is_intended() || hurries)
                    && !task.state.is_final()
            }
        };
        if is_news {
            let desired = DesiredState::Stop { cause, patience };
            let traffic = traffic::on_stop(self.cluster, task, (cause, self.now));
            self.put_task(Task { desired, traffic, ..task.clone() });
            // What it leaves can be promised to somebody.
            if self.cluster.has_classes() {
                self.touch_waiting();
            }
        }
    }

    /// The task needs the room that is being made for it no more, unless it goes there: others may have it.
    pub(crate) fn give_back(&mut self, task: &Task, goes_to: Option<&NodeId>) {
        if task.room_on.as_ref().is_some_and(|room| Some(room) != goes_to) {
            self.touch_waiting();
        }
    }

    /// Plans the service in this step.
    pub(crate) fn touch(&mut self, service: &ServiceId) {
        self.wake(service, self.now);
    }

    /// Plans one slot of the service in this step. While it is rolled out, and in a job, each slot has to do with every
    /// other.
    pub(crate) fn touch_slot(&mut self, id: &ServiceId, slot: &Slot) {
        let is_steady = |service: &Arc<Service>| {
            let is_job = matches!(service.target.spec.mode, Mode::Job(_));
            service.phase == ServicePhase::Steady && !is_job
        };
        self.touch_withheld(id);
        if self.cluster.services().get(id).is_some_and(is_steady) {
            self.cluster.touched.entry(id.clone()).or_default().insert(slot.clone());
        } else {
            self.touch(id);
        }
    }

    /// More of the service may serve than before: what it could not spare is asked about again.
    pub(crate) fn touch_withheld(&mut self, id: &ServiceId) {
        if self.cluster.withheld.remove(id) {
            self.touch(id);
        }
        if self.cluster.unspared.remove(id) {
            self.touch_waiting();
        }
    }

    /// Plans the service again at `at`, or earlier if it was to be planned earlier.
    pub(crate) fn wake(&mut self, service: &ServiceId, at: Timestamp) {
        let due = self.cluster.due.entry(service.clone()).or_insert(at);
        *due = at.min(*due);
    }

    /// Plans the services of which tasks are missed on the node.
    pub(crate) fn touch_missed(&mut self, node: &NodeId) {
        let missed = self.cluster.missed_on(node);
        let services: BTreeSet<ServiceId> = missed.map(|task| task.service.clone()).collect();
        services.iter().for_each(|service| self.touch(service));
    }

    /// Room may have come free: what waits for a node is planned again.
    pub(crate) fn touch_waiting(&mut self) {
        for service in std::mem::take(&mut self.cluster.waiting) {
            self.touch(&service);
        }
    }

    /// Plans the services for which room is being made on the node.
    pub(crate) fn touch_promised(&mut self, node: &NodeId) {
        let promised = self.cluster.promised_on(node);
        let services: BTreeSet<ServiceId> = promised.map(|task| task.service.clone()).collect();
        services.iter().for_each(|service| self.touch(service));
    }

    /// Says one thing more about a task that something was said about.
    pub(crate) fn add_note(&mut self, task: &TaskId, more: &str) {
        if let Some(note) = self.notes.get_mut(task) {
            note.push_str("; ");
            note.push_str(more);
        }
    }

    pub(crate) fn note(&mut self, task: &TaskId, note: String) {
        self.notes.insert(task.clone(), note);
    }

    pub(crate) fn into_step(self) -> Step {
        let is_touched =
            !self.cluster.touched.is_empty() || !self.cluster.traffic.touched.is_empty();
        let touched = is_touched.then_some(self.now);
        let due = self.cluster.due.values().min().copied().into_iter().chain(touched).min();
        let is_watching = !self.cluster.nodes().is_empty();
        let silence = is_watching.then_some(self.cluster.silence.look_at);
        let deadline = self.cluster.next_deadline();
        let deadline = deadline.into_iter().chain(self.cluster.next_opening()).min();
        let moves = self.cluster.round.at.into_iter().chain(balance::next_deadline(self.cluster));
        let fleet = command::next(self.cluster, self.now);
        let fleet = fleet.into_iter().chain(hooks::next(self.cluster, self.now));
        let fleet = fleet.chain(lease::next(self.cluster));
        let fleet = fleet.chain(bake::next(self.cluster)).chain(traffic::next(self.cluster));
        let fleet = fleet.chain(upkeep::next(self.cluster));
        let fleet = fleet.chain(secret::next(self.cluster, self.now));
        let times = due.into_iter().chain(silence).chain(deadline).chain(moves).chain(fleet);
        let (wake_at, commands) = (times.min(), command::commands(self.cluster, self.now));
        let Self { changes, notes, fetches, .. } = self;
        Step { changes, commands, notes, fetches, wake_at, replies: Vec::new() }
    }
}
