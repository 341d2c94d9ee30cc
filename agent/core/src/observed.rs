//! What the engine says, as plain values.

use model::id::{ContainerName, TaskId};
use model::task::{Exit, Health, PublishedPort};
use model::time::Timestamp;

/// What kind of event the engine told of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It was started.
    Started,
    /// Its process ended.
    Ended,
    /// It was removed.
    Removed,
    /// Anything else.
    Other,
}

/// A container that carries the labels of our cluster and node, as a successful inspect showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// The engine's name, without the slash.
    pub name: String,
    /// From its labels.
    pub task: TaskId,
    /// From its labels.
    pub container: ContainerName,
    /// From its labels.
    pub attempt: u32,
    /// What the engine says that it does.
    pub status: Status,
    /// When it was last started, by the clock of the node.
    pub started_at: Option<Timestamp>,
    /// What the image's or the spec's own check says; none when the engine runs no check.
    pub health: Option<Health>,
    /// Where its ports are found.
    pub ports: Vec<PublishedPort>,
    /// Whose network namespace it shares, if it does: an engine's id.
    pub network_of: Option<String>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, never started.
    Created,
    /// Runs.
    Running,
    /// Frozen by somebody.
    Paused,
    /// Ended.
    Exited(Exit),
    /// The engine is removing it, or failed to.
    Dead,
}

impl Container {
    /// Says whether its processes exist.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        match self.status {
            Status::Running | Status::Paused => true,
            Status::Created | Status::Exited(_) | Status::Dead => false,
        }
    }
}
