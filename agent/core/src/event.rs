//! What the agent hears, and what it says.

use model::fleet::Outlook;
use model::id::{ContainerName, TaskId};
use model::task::{ContainerStatus, TaskState};
use model::time::Timestamp;

use crate::action::Outcome;
use crate::assignment::Assignments;
use crate::lease::Ask;
use crate::observed::Container;
use crate::outlook::Reach;
use crate::secret::Versions;

/// Something heard.
#[derive(Debug, Clone)]
pub enum Event {
    /// The coordinator says what it wants.
    Assigned(Assignments),
    /// The engine listed every container of ours, each inspected. Only a list that succeeded as a whole.
    Listed {
        /// When the list was asked for: what happened after is not in it.
        asked_at: Timestamp,
        /// All of them.
        containers: Vec<Container>,
    },
    /// A container of ours was inspected.
    Seen(Box<Container>),
    /// The engine can not be asked. Nothing is known of any container until the next list.
    EngineDown {
        /// Why, in the operator's words.
        why: String,
    },
    /// An order was carried out, or not.
    Done {
        /// Of which task.
        task: TaskId,
        /// Of which container of the task.
        container: ContainerName,
        /// Whether it was a probe.
        kind: OrderKind,
        /// What came of it.
        outcome: Outcome,
    },
    /// A task wants something of its lease.
    Lease {
        /// Which.
        task: TaskId,
        /// What.
        ask: Ask,
    },
    /// What is there of a task's secrets, where its containers find them; or why it is not.
    Secrets {
        /// Of which task.
        task: TaskId,
        /// The version of each.
        there: Result<Versions, String>,
    },
    /// The metadata service says what this machine has to expect.
    Foreseen(Outlook),
    /// A session has begun, or is gone.
    Reach(Reach),
    /// The coordinator knows nothing of these containers either.
    OrphansConfirmed {
        /// The engine's ids.
        containers: Vec<String>,
    },
}

/// What kind of order an outcome belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// One that changes something; a task has at most one at a time.
    Change,
    /// A health check.
    Probe {
        /// The number of the order. The container may have been started again meanwhile.
        number: u32,
    },
}

/// What the agent sees of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub task: TaskId,
    /// What it sees.
    pub state: TaskState,
    /// How many containers were made anew since the first ones.
    pub restarts: u32,
    /// What is done or waited for, if anything.
    pub note: String,
    /// Each container of the task.
    pub containers: Vec<ContainerStatus>,
    /// When the lease ends that it holds.
    pub lease: Option<Timestamp>,
}

/// A container of ours that belongs to no task that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanReport {
    /// From its labels.
    pub task: TaskId,
    /// The engine's id.
    pub container_id: String,
    /// The engine's name.
    pub name: String,
}
