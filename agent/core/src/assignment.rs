//! What the coordinator wants of this node.

use std::sync::Arc;

use model::id::{ProjectName, ServiceName, TaskId};
use model::spec::TaskSpec;
use model::task::DesiredState;

use crate::secret::Versions;

/// Orders what coordinators say: lower is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fence {
    /// Of the store: another one after it was made anew or restored.
    pub incarnation: u64,
    /// Of the leader of that store.
    pub epoch: u64,
    /// Of what it said.
    pub revision: u64,
}

/// Everything that the node should run, at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignments {
    /// How new it is.
    pub fence: Fence,
    /// Tasks to run, and tombstones. What is missing is not to be stopped.
    pub tasks: Vec<Assignment>,
}

/// One task to run, or its tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Which.
    pub task: TaskId,
    /// Of which project.
    pub project: ProjectName,
    /// Of which service.
    pub service: ServiceName,
    /// Of which generation.
    pub generation: u64,
    /// What it runs.
    pub spec: Arc<TaskSpec>,
    /// Run, or stop for good.
    pub desired: DesiredState,
    /// Whether it runs to its end and is never started again.
    pub is_once: bool,
    /// Which version of each secret it is to have.
    pub secrets: Versions,
}
