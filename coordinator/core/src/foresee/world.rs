//! A world where everything that is asked for succeeds, after the time that it took others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, ServiceId, Slot, TaskId};
use model::image::Image;
use model::task::{DesiredState, Health, StopCause, Task, TaskState};
use model::time::Timestamp;
use model::traffic::{Look, RegistrationId, RegistrationPhase, Shown, TargetGroup, TargetHealth};

use crate::cluster::{Change, Cluster, Sighting};
use crate::command::Command;
use crate::event::{EngineState, Event, Refusal, Reply, Report, TrafficEvent};
use crate::step;

/// How long a task takes to start of which no other tells.
const START: Duration = Duration::from_secs(5);

/// So many tasks of a service are asked how long they took.
const OTHERS: usize = 100;

/// How long a task takes to stop. What needs its whole grace is an exception, and nothing tells beforehand.
const STOP: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) now: Timestamp,
    /// When what each of these tasks was told has come about.
    pending: BTreeMap<TaskId, (Timestamp, DesiredState)>,
    /// Tasks that may have something to do.
    open: BTreeSet<TaskId>,
    /// When tasks have ended.
    ended: BTreeMap<TaskId, Timestamp>,
    wake_at: Option<Timestamp>,
    fetches: BTreeMap<NodeId, BTreeSet<Image>>,
    /// What the cloud was asked in the last turn.
    pub(super) commands: Vec<Command>,
    /// Tasks that were told in the last turn to leave nodes that are being emptied.
    pub(super) drained: Vec<Arc<Task>>,
    /// Those that are heard now, and go on being heard.
    heard: BTreeMap<NodeId, Sighting>,
}

impl World {
    pub(super) fn new(cluster: &Cluster, now: Timestamp) -> Self {
        let mut cluster = cluster.clone();
        // Nobody stores what comes of it.
        cluster.bound(usize::MAX);
        let heard = cluster.nodes().values().filter(|node| cluster.takes_work(node, now));
        let heard = heard.filter_map(|node| Some((node.id.clone(), cluster.sighting(&node.id)?)));
        let (heard, fetches) = (heard.collect(), BTreeMap::new());
        let open = cluster.tasks().values().filter(|task| outcome(task, now).is_some());
        let open = open.map(|task| task.id.clone()).collect();
        let (pending, ended) = (BTreeMap::new(), BTreeMap::new());
        let (commands, drained, wake_at) = (Vec::new(), Vec::new(), None);
        Self { heard, now, pending, open, ended, wake_at, fetches, commands, drained, cluster }
    }

    pub(super) fn turn(&mut self, events: &[Event]) -> Result<(), Refusal> {
        for (node, seen) in &self.heard {
            self.cluster.saw(node, Sighting { at: self.now, ..*seen });
        }
        let done = step(&mut self.cluster, events, self.now);
        self.wake_at = done.wake_at;
        let put = done.changes.iter().filter_map(put_task);
        self.open.extend(put.map(|task| task.id.clone()));
        self.drained = done.changes.iter().filter_map(put_task).filter(leaves).cloned().collect();
        self.fetches = done.fetches;
        self.commands = done.commands;
        let refused = |reply| match reply {
            Reply::Refused(refusal) => Some(refusal),
            Reply::Noted
            | Reply::Accepted { .. }
            | Reply::Run { .. }
            | Reply::Baking(_)
            | Reply::SecretSet(_)
            | Reply::Deployed(_) => None,
        };
        done.replies.into_iter().find_map(refused).map_or(Ok(()), Err)
    }

    /// What was to run by now runs, and what was to stop by now has stopped.
    pub(super) fn succeed(&mut self) -> Vec<Event> {
        let open = std::mem::take(&mut self.open);
        let open: Vec<(TaskId, DesiredState)> =
            open.iter().filter_map(|id| Some((id.clone(), self.asked_of(id)?))).collect();
        let mut reports = Vec::new();
        for (id, desired) in open {
            let known = self.pending.get(&id).filter(|(_, asked)| *asked == desired);
            let at = known.map_or_else(|| self.now + self.takes(&id), |(at, _)| *at);
            if at <= self.now {
                self.pending.remove(&id);
                reports.extend(self.report(&id));
            } else {
                self.pending.insert(id.clone(), (at, desired));
                self.open.insert(id);
            }
        }
        reports.extend(self.fetched());
        reports.extend(self.balanced());
        reports
    }

    /// What the task was told, if it has not done it and its node can be asked.
    fn asked_of(&self, id: &TaskId) -> Option<DesiredState> {
        let task = self.cluster.tasks().get(id)?;
        let is_heard = task.node.as_ref().is_some_and(|node| self.is_heard(node));
        (is_heard && outcome(task, self.now).is_some()).then_some(task.desired)
    }

    /// How long the task will take to do what it was told.
    fn takes(&self, id: &TaskId) -> Duration {
        let Some(task) = self.cluster.tasks().get(id) else { return STOP };
        let DesiredState::Run = task.desired else { return STOP };
        let took = |task: &Arc<Task>| {
            let first = task.clock_since.filter(|_| task.restarts == 0)?;
            Some(task.up_since()?.since(first))
        };
        // The middle one of those that began before us.
        let others = self.cluster.tasks_of(&task.service).take(OTHERS);
        let mut seen: Vec<Duration> = others.filter_map(took).collect();
        seen.sort_unstable();
        seen.get(seen.len() / 2).copied().unwrap_or(START)
    }

    fn report(&mut self, id: &TaskId) -> Option<Event> {
        let task = self.cluster.tasks().get(id)?;
        let state = outcome(task, self.now)?;
        if state.is_final() {
            self.ended.insert(id.clone(), self.now);
        }
        let (restarts, note, containers) = (task.restarts, String::new(), Vec::new());
        let report = Report { task: id.clone(), state, restarts, note, containers, lease: None };
        Some(Event::Reported { node: task.node.clone()?, tasks: vec![report], is_complete: false })
    }

    /// What nodes were asked to fetch is there.
    fn fetched(&self) -> impl Iterator<Item = Event> {
        self.fetches.iter().map(|(node, images)| {
            let mut stock = self.cluster.stock(node).unwrap_or_default();
            stock.digests.extend(images.iter().map(|image| image.digest().clone()));
            Event::Images { node: node.clone(), stock }
        })
    }

    /// What is to get traffic gets it, and what is to leave has left.
    fn balanced(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut groups: BTreeMap<TargetGroup, Shown> = BTreeMap::new();
        for registration in self.cluster.registrations().values() {
            let RegistrationId { group, target } = registration.id.clone();
            let shown = groups.entry(group.clone()).or_default();
            let phase = registration.phase;
            if phase == RegistrationPhase::Entering {
                shown.targets.insert(target.clone(), TargetHealth::Healthy);
            }
            let targets = vec![target];
            let told = TrafficEvent::Told { group, phase, targets, failure: None };
            events.push(Event::Traffic(told));
        }
        let looks = groups.into_iter().map(|(group, shown)| Look { group, shown: Ok(shown) });
        let looks: Vec<Look> = looks.collect();
        if !looks.is_empty() {
            events.push(Event::Traffic(TrafficEvent::Looked(looks)));
        }
        events
    }

    fn is_heard(&self, node: &NodeId) -> bool {
        let is_ready = |seen: &Sighting| seen.engine == EngineState::Ready;
        self.heard.get(node).is_some_and(is_ready)
    }

    /// Goes on to when time alone changes something. Gives false when that never happens.
    pub(super) fn sleep(&mut self) -> bool {
        let done = self.pending.values().map(|(at, _)| *at);
        let next = done.chain(self.wake_at).filter(|at| *at > self.now).min();
        self.now = next.unwrap_or(self.now);
        next.is_some()
    }

    /// The same, or to `at` if that is earlier; what the cluster itself would look at only to see nothing is left out.
    pub(super) fn sleep_until(&mut self, at: Option<Timestamp>) -> bool {
        let done = self.pending.values().map(|(at, _)| *at);
        let due = self.cluster.due.values().copied();
        let next = done.chain(due).chain(at).filter(|at| *at > self.now).min();
        self.now = next.unwrap_or(self.now);
        next.is_some()
    }

    /// A node is there that was not before.
    pub(super) fn hear_of(&mut self, node: &NodeId) {
        let seen = Sighting { at: self.now, engine: EngineState::Ready, has_told_all: true };
        self.heard.insert(node.clone(), seen);
    }

    /// Where the slot of a service is filled.
    pub(super) fn holder(&self, service: &ServiceId, slot: &Slot) -> Option<NodeId> {
        let mut tasks = self.cluster.tasks_in(service, slot).iter();
        tasks.find(|task| task.is_wanted() && !task.state.is_final())?.node.clone()
    }

    pub(super) fn deadline(&self, node: &NodeId) -> Option<Timestamp> {
        self.cluster.nodes().get(node)?.drain.map(|drain| drain.deadline)
    }

    /// Where the task that has taken the place of this one is.
    pub(super) fn heir(&self, task: &Task) -> Option<NodeId> {
        let beside = self.cluster.tasks_of(&task.service);
        let heirs = beside.filter(|other| other.slot == task.slot && other.is_wanted());
        let heirs = heirs.filter(|heir| heir.id != task.id && !heir.state.is_final());
        // Of two generations that are both up each has its own.
        let is_other = |heir: &&Arc<Task>| heir.generation.template != task.generation.template;
        heirs.min_by_key(is_other)?.node.clone()
    }

    /// When a task has ended, if it has.
    pub(super) fn ended_at(&self, id: &TaskId) -> Option<Timestamp> {
        self.ended.get(id).copied()
    }
}

/// Says whether the task is told to leave a node that is being emptied.
fn leaves(task: &&Arc<Task>) -> bool {
    let is_told = matches!(task.desired, DesiredState::Stop { cause: StopCause::Drain, .. });
    is_told && !task.state.is_final()
}

/// The task that a change writes, if it writes one.
fn put_task(change: &Change) -> Option<&Arc<Task>> {
    match change {
        Change::PutTask(task) => Some(task),
        Change::PutService(_)
        | Change::RemoveService(_)
        | Change::RemoveTask(_)
        | Change::PutNode(_)
        | Change::RemoveNode(_)
        | Change::PutPool(_)
        | Change::RemovePool(_)
        | Change::PutHook(_)
        | Change::RemoveHook(_)
        | Change::PutRefresh(_)
        | Change::RemoveRefresh(_)
        | Change::SetFreeze(_)
        | Change::PutBake(_)
        | Change::RemoveBake(_)
        | Change::PutAmi(_)
        | Change::RemoveAmi(_)
        | Change::PutUpkeep(_)
        | Change::RemoveUpkeep(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::PutSecret(_)
        | Change::RemoveSecret(_)
        | Change::PutNextTask(_) => None,
    }
}

/// What becomes of the task if all goes well, unless it is done.
fn outcome(task: &Task, now: Timestamp) -> Option<TaskState> {
    let serves = TaskState::Running { since: now, health: Health::Healthy };
    match (task.desired, &task.state) {
        (DesiredState::Stop { .. }, state) if !state.is_final() => Some(TaskState::Completed),
        (DesiredState::Run, TaskState::Assigned | TaskState::Fetching | TaskState::Preparing) => {
            Some(serves)
        }
        (DesiredState::Run, TaskState::Running { health: Health::Starting, .. }) => Some(serves),
        (DesiredState::Run | DesiredState::Stop { .. }, _) => None,
    }
}
