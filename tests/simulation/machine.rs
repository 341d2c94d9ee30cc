//! A machine: an engine, a disk, and an agent that may or may not be running.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{ContainerName, TaskId};
use model::node::Node;
use model::task::{DesiredState, TaskState};
use model::time::Timestamp;

use crate::agent_core::assignment::Fence;
use crate::agent_core::outlook::Reach;
use crate::agent_core::secret::Versions;
use crate::agent_core::workload::{Saved, Workload};

use super::agenda::Down;
use super::docker::Docker;

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) node: Node,
    pub(crate) engine: Docker,
    /// What is on the disk.
    pub(crate) journal: Option<(Fence, Vec<Saved>)>,
    /// Which versions of secrets are in memory, for each task.
    pub(crate) memory: BTreeMap<TaskId, Versions>,
    pub(crate) agent: Option<Agent>,
    /// Counts the agents that were started here.
    pub(crate) life: u64,
    /// Nothing gets through until then.
    pub(crate) cut_until: Timestamp,
    /// When the cloud takes it back.
    pub(crate) ends_at: Option<Timestamp>,
    /// When its agent was started last, or its engine.
    pub(crate) hindered_at: Timestamp,
    pub(crate) ledger: Ledger,
}

/// An agent that runs.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    pub(crate) workload: Workload,
    pub(crate) session: Option<u64>,
    /// What its core was told last about that.
    pub(crate) reach: Option<Reach>,
    pub(crate) is_listing: bool,
    pub(crate) list_again: bool,
    pub(crate) wake_at: Option<Timestamp>,
}

/// What is known of a machine by who sees everything: to judge what its agent does.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The highest fence that was obeyed.
    pub(crate) obeyed: Fence,
    /// The final states that were said.
    pub(crate) final_said: BTreeMap<TaskId, TaskState>,
    /// Containers that ended or could not be made: the others of the task may be stopped for it.
    pub(crate) troubled: BTreeSet<(TaskId, ContainerName)>,
    /// When the journal was lost last.
    pub(crate) lost_at: Timestamp,
    /// Tasks that the agent was told to stop, or that nobody knows them, since then.
    pub(crate) told_to_stop: BTreeSet<TaskId>,
    pub(crate) told_unknown: BTreeSet<TaskId>,
    /// Those that it was told to stop whatever they hold.
    pub(crate) told_at_once: BTreeSet<TaskId>,
    /// Leases that tasks were given, and when each ends.
    pub(crate) leases: BTreeMap<TaskId, Timestamp>,
    /// Its agent has begun to stop everything by itself, and goes on with that.
    pub(crate) is_ending: bool,
    /// Every start of a container that an agent ordered.
    pub(crate) starts: BTreeSet<(String, Timestamp)>,
}

impl Agent {
    /// Whether it has a session, when its core does not know that yet.
    pub(crate) fn reach(&mut self) -> Option<Reach> {
        let reach = if self.session.is_some() { Reach::Connected } else { Reach::CutOff };
        (self.reach.replace(reach) != Some(reach)).then_some(reach)
    }
}

impl Machine {
    pub(crate) fn new(node: Node) -> Self {
        Self {
            node,
            engine: Docker::new(),
            journal: None,
            memory: BTreeMap::new(),
            agent: None,
            life: 0,
            cut_until: Timestamp::default(),
            ends_at: None,
            hindered_at: Timestamp::default(),
            ledger: Ledger::default(),
        }
    }

    /// Starts the agent on what is on the disk.
    pub(crate) fn boot(&mut self, now: Timestamp) {
        self.life += 1;
        self.hindered_at = now;
        let workload = match self.journal.clone() {
            Some((fence, saved)) => Workload::restore(fence, saved),
            None => Workload::default(),
        };
        self.agent = Some(Agent { workload, ..Agent::default() });
    }

    pub(crate) fn save(&mut self) {
        let workload = self.agent.as_ref().map(|agent| &agent.workload);
        self.journal = workload.map(|workload| (workload.fence(), workload.saved().collect()));
    }

    /// Writes down that a container ended, or could not be made.
    pub(crate) fn trouble(&mut self, task: &TaskId, container: &ContainerName) {
        self.ledger.troubled.insert((task.clone(), container.clone()));
    }

    /// The disk is new: nobody remembers what was said.
    pub(crate) fn lose_journal(&mut self, now: Timestamp) {
        self.journal = None;
        self.memory.clear();
        let Ledger { troubled, starts, .. } = std::mem::take(&mut self.ledger);
        self.ledger = Ledger { troubled, starts, lost_at: now, ..Ledger::default() };
    }

    /// All of the disk is new: what ran there does not run any more, and was never heard of.
    pub(crate) fn lose_disk(&mut self, now: Timestamp) {
        self.agent = None;
        self.engine = Docker::new();
        self.lose_journal(now);
    }

    /// Writes down what gives the agent the right to stop something.
    pub(crate) fn note_told(&mut self, message: &Down) {
        match message {
            Down::Welcome | Down::Fetch(_) => {}
            Down::Assignments(assigned) => {
                let told = assigned.tasks.iter().filter(|task| task.desired != DesiredState::Run);
                let at_once = told.clone().filter(|task| task.desired.patience().is_none());
                self.ledger.told_at_once.extend(at_once.map(|task| task.task.clone()));
                self.ledger.told_to_stop.extend(told.map(|task| task.task.clone()));
            }
            Down::RemoveOrphans(containers) => {
                let held = containers.iter().filter_map(|id| self.engine.held.get(id));
                self.ledger.told_unknown.extend(held.map(|held| held.shown.task.clone()));
            }
        }
    }
}
