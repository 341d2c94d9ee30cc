//! The rim of the simulated coordinator: a store that keeps prefixes, sessions, and the fence on everything it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::NodeId;
use model::image::Stock;
use model::task::Task;
use model::time::Timestamp;

use crate::agent_core::assignment::{Assignment, Assignments, Fence};
use crate::agent_core::event::{OrphanReport, Report as Said};
use crate::coordinator_core::cluster::{Change, Cluster};
use crate::coordinator_core::event::{EngineState, Event, FleetEvent, Report};
use crate::coordinator_core::{step, view};

use super::World;
use super::agenda::{Down, Extent, ForAgent, Happening, Up};
use super::flaw::Flaw;
use super::jobs::Done;
use super::silence::Silence;
use super::specs;

/// From what is heard until it is looked at.
const BATCH: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) is_up: bool,
    pub(crate) cluster: Cluster,
    /// What was committed.
    stored: Vec<Change>,
    pub(crate) fence: Fence,
    pub(crate) inbox: Vec<Event>,
    sessions: BTreeMap<NodeId, Session>,
    turn_at: Option<Timestamp>,
    /// How many changes a step makes before it leaves the rest to the next.
    pub(crate) max_changes: usize,
}

#[derive(Debug)]
struct Session {
    number: u64,
    is_stale: bool,
}

impl Coordinator {
    pub(crate) fn new(max_changes: usize) -> Self {
        let mut cluster = Cluster::default();
        cluster.bound(max_changes);
        Self {
            is_up: true,
            cluster,
            max_changes,
            stored: Vec::new(),
            fence: Fence { incarnation: 1, epoch: 1, revision: 1 },
            inbox: Vec::new(),
            sessions: BTreeMap::new(),
            turn_at: None,
        }
    }

    pub(crate) fn holds(&self, node: &NodeId, session: u64) -> bool {
        self.is_up && self.sessions.get(node).is_some_and(|held| held.number == session)
    }
}

impl World {
    pub(crate) fn coordinator_hears(&mut self, node: &NodeId, session: u64, message: Up) {
        if !self.coordinator.is_up {
            return;
        }
        if let Up::Hello(about) = message {
            self.coordinator.inbox.push(Event::Joined(about));
            let held = Session { number: session, is_stale: true };
            self.coordinator.sessions.insert(node.clone(), held);
            self.tell(node, Down::Welcome);
            return self.turn_within(BATCH);
        }
        if !self.coordinator.holds(node, session) {
            return;
        }
        let state = |ready| if ready { EngineState::Ready } else { EngineState::Silent };
        let node = node.clone();
        match message {
            Up::Hello(_) => {}
            Up::Stock { images, volumes } => {
                let digest = |number| specs::image(number).digest().clone();
                let known = |number| Some((digest(number), specs::layers(number)?.into()));
                let layers = images.iter().filter_map(|number| known(*number)).collect();
                let digests = images.into_iter().map(digest).collect();
                let stock = Stock { digests, layers, volumes };
                self.coordinator.inbox.push(Event::Images { node, stock });
            }
            Up::Foreseen(outlook) => {
                let foreseen = FleetEvent::Foreseen { node, outlook };
                self.coordinator.inbox.push(Event::Fleet(foreseen));
            }
            Up::Beat { engine_ready } => {
                let engine = state(engine_ready);
                self.coordinator.inbox.push(Event::Heard { node, engine });
            }
            Up::Report { tasks, extent, orphans, engine_ready } => {
                let engine = state(engine_ready);
                self.coordinator.inbox.push(Event::Heard { node: node.clone(), engine });
                self.disown(&node, &orphans);
                let tasks = tasks.into_iter().map(translate).collect();
                let is_complete = extent == Extent::Everything;
                self.coordinator.inbox.push(Event::Reported { node, tasks, is_complete });
            }
        }
        self.turn_within(BATCH);
    }

    fn disown(&mut self, node: &NodeId, orphans: &[OrphanReport]) {
        let cluster = &self.coordinator.cluster;
        let all = self.flaw == Some(Flaw::DisownsEverything);
        let unknown =
            orphans.iter().filter(|orphan| all || view::disowns(cluster, node, &orphan.task));
        let unknown: Vec<&OrphanReport> = unknown.collect();
        let ids: Vec<String> = unknown.iter().map(|orphan| orphan.container_id.clone()).collect();
        if !ids.is_empty() {
            if !all {
                let tasks = unknown.iter().map(|orphan| (node.clone(), orphan.task.clone()));
                self.truth.disowned.extend(tasks);
            }
            self.tell(node, Down::RemoveOrphans(ids));
        }
    }

    fn tell(&mut self, node: &NodeId, message: Down) {
        let Some(session) = self.coordinator.sessions.get(node).map(|held| held.number) else {
            return;
        };
        let Some(machine) = self.machines.get(node).filter(|one| one.cut_until <= self.now) else {
            return;
        };
        let (node, life) = (node.clone(), machine.life);
        self.send(Happening::Agent { node, life, what: ForAgent::Down { session, message } });
    }

    pub(crate) fn turn_within(&mut self, wait: Duration) {
        let at = self.now + wait;
        if self.coordinator.turn_at.is_none_or(|due| at < due || due < self.now) {
            self.coordinator.turn_at = Some(at);
            self.after(wait, Happening::Turn);
        }
    }

    pub(crate) fn turn(&mut self) {
        if !self.coordinator.is_up || self.coordinator.turn_at != Some(self.now) {
            return;
        }
        self.coordinator.turn_at = None;
        let mut events = std::mem::take(&mut self.coordinator.inbox);
        let before = self.coordinator.cluster.clone();
        let done = step(&mut self.coordinator.cluster, &events, self.now);
        self.coordinator.inbox = events.split_off(done.replies.len());
        self.check_step(&before, &done);
        let crashes = self.chance.permille(self.odds.coordinator_crash);
        let kept = if crashes {
            let all = u32::try_from(done.changes.len()).unwrap_or(u32::MAX);
            self.chance.below(all + 1) as usize
        } else {
            done.changes.len()
        };
        if self.flaw == Some(Flaw::SaysBeforeCommit) {
            self.publish(&before, &done.changes);
        }
        let mut known = before.clone();
        for change in done.changes.iter().take(kept) {
            self.truth.committed(&known, change);
            self.condemned(&known, change);
            known.apply(change);
        }
        self.coordinator.stored.extend(done.changes.iter().take(kept).cloned());
        if crashes {
            return self.crash_coordinator();
        }
        self.publish(&before, &done.changes);
        for (node, images) in &done.fetches {
            let images = images.iter().map(specs::number_of).collect();
            self.tell(node, Down::Fetch(images));
        }
        self.request(done.commands);
        if !self.coordinator.inbox.is_empty() {
            return self.turn_within(Duration::from_millis(1));
        }
        if let Some(at) = done.wake_at {
            let wait = at.since(self.now).max(Duration::from_millis(1));
            self.turn_within(wait);
        }
    }

    /// Counts the commit and sends to each node that it concerns what the node should run.
    fn publish(&mut self, before: &Cluster, changes: &[Change]) {
        if !changes.is_empty() {
            self.coordinator.fence.revision += 1;
        }
        let told: BTreeSet<NodeId> =
            changes.iter().filter_map(|change| view::concerns(before, change)).collect();
        let mut stale = Vec::new();
        for (node, session) in &mut self.coordinator.sessions {
            if std::mem::take(&mut session.is_stale) || told.contains(node) {
                stale.push(node.clone());
            }
        }
        for node in stale {
            let whose = match self.flaw {
                Some(Flaw::MixesUpNodes) if self.chance.percent(5) => self.some_node(),
                _ => node.clone(),
            };
            let tasks = view::assignments(&self.coordinator.cluster, &whose);
            let tasks = tasks.map(assignment).collect();
            let fence = self.coordinator.fence;
            self.tell(&node, Down::Assignments(Assignments { fence, tasks }));
        }
    }

    pub(crate) fn crash_coordinator(&mut self) {
        self.coordinator.is_up = false;
        self.cloud.asking.clear();
        self.coordinator.inbox.clear();
        self.coordinator.sessions.clear();
        let after = self.outage();
        self.after(after, Happening::Revive);
    }

    /// Starts a coordinator on what is stored. Its clients come by themselves; the cloud is asked who is gone.
    pub(crate) fn revive(&mut self) {
        if self.coordinator.is_up {
            return;
        }
        self.coordinator.is_up = true;
        self.coordinator.cluster = Cluster::load(&self.coordinator.stored, self.now);
        self.silence.leads_since = self.now;
        self.coordinator.cluster.bound(self.coordinator.max_changes);
        self.coordinator.stored = self.coordinator.cluster.stored();
        self.coordinator.fence.revision = 1;
        if self.flaw != Some(Flaw::EpochStays) {
            self.coordinator.fence.epoch += 1;
        }
        self.check_invariants();
        let buries = self.flaw == Some(Flaw::TakeoverBuriesNodes);
        let nodes: Vec<NodeId> = self.coordinator.cluster.nodes().keys().cloned().collect();
        for node in nodes {
            let is_gone = !self.cloud.is_there && !self.machines.contains_key(&node);
            if buries || is_gone {
                self.coordinator.inbox.push(Event::Died(node));
            }
        }
        self.coordinator.turn_at = None;
        self.turn_within(BATCH);
    }

    /// The store is gone: a new one knows nothing, and has another incarnation.
    pub(crate) fn wipe(&mut self) {
        self.crash_coordinator();
        self.coordinator.stored.clear();
        self.truth.jobs = Done::default();
        self.silence = Silence::default();
        self.cloud.images.is_forgotten = true;
        self.balancers.is_forgotten = true;
        self.coordinator.fence.incarnation += 1;
        self.coordinator.fence.epoch = 0;
    }
}

fn assignment(task: &Arc<Task>) -> Assignment {
    Assignment {
        task: task.id.clone(),
        project: task.service.project.clone(),
        service: task.service.name.clone(),
        generation: task.generation.number,
        spec: Arc::new(task.generation.spec.task.clone()),
        desired: task.told(),
        is_once: task.generation.spec.mode.runs_to_end(),
        secrets: task.secrets.clone(),
    }
}

fn translate(said: Said) -> Report {
    let Said { task, state, restarts, note, containers, lease } = said;
    Report { task, state, restarts, note, containers, lease }
}
