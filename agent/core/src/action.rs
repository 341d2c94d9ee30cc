//! What the agent asks of the engine, and what can come of it.

use std::sync::Arc;

use model::id::{ContainerName, ProjectName, ServiceName, TaskId};
use model::image::Image;
use model::spec::{Probe, TaskSpec};
use std::time::Duration;

use crate::observed::Container;

/// One request to the engine. Each may be done twice without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Has the image on the engine, by its pin. Done at once when it is there already.
    Pull {
        /// What to have.
        image: Image,
    },
    /// Makes the container and what it needs (its networks), and starts it. A container of that name that is already
    /// there is adopted when it carries the same task, and started if it was not.
    Launch(Box<Launch>),
    /// Sends the signal to stop, waits, then kills.
    Stop {
        /// The engine's id.
        id: String,
        /// How long to wait.
        grace: Duration,
    },
    /// Kills at once.
    Kill {
        /// The engine's id.
        id: String,
    },
    /// Sends a signal, and does not wait.
    Signal {
        /// The engine's id.
        id: String,
        /// Its name.
        signal: String,
    },
    /// Thaws what somebody froze.
    Unpause {
        /// The engine's id.
        id: String,
    },
    /// Deletes a container that does not run, with its anonymous volumes.
    Remove {
        /// The engine's id.
        id: String,
    },
    /// Tries once whether a container works.
    Probe {
        /// The engine's id.
        id: String,
        /// Comes back with the outcome: see [`crate::event::OrderKind::Probe`].
        number: u32,
        /// What to try: HTTP or TCP; commands are the engine's to run.
        probe: Probe,
        /// How long it may take.
        timeout: Duration,
    },
}

/// A container to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Of which task.
    pub task: TaskId,
    /// Of which project: names networks and volumes.
    pub project: ProjectName,
    /// Of which service: the name that other tasks know it by.
    pub service: ServiceName,
    /// Labelled with this generation.
    pub generation: u64,
    /// Which container of the spec.
    pub container: ContainerName,
    /// Counts the containers made for it, from 1. Part of the name.
    pub attempt: u32,
    /// The spec of the task.
    pub spec: Arc<TaskSpec>,
    /// The engine's id of the container whose network namespace it shares; none for the first of the task.
    pub network_of: Option<String>,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and nothing is to be said.
    Done,
    /// It is done, and this is the container afterwards.
    Now(Box<Container>),
    /// There is no such container. Said only after the engine answered so.
    Gone,
    /// It was not done, or it is not known.
    Failed(Fault),
}

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What to conclude from it.
    pub kind: FaultKind,
    /// In the operator's words, with what the engine said.
    pub message: String,
}

/// What to conclude from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The engine could not be asked, or did not answer in time: nothing is known.
    Unknown,
    /// The engine said no for its own reasons (5xx): later it may work.
    Engine,
    /// The disk of the engine is full.
    DiskFull,
    /// The engine refused the request as it stands (4xx, or the program can not be executed): again will not help.
    Refused,
    /// A host port is taken by somebody else.
    PortTaken,
    /// The image is not on the engine.
    ImageMissing,
    /// The registry does not have the image.
    ImageNotFound,
    /// The registry wants other credentials.
    Unauthorized,
    /// The registry could not be asked, or stopped sending.
    RegistryUnavailable,
}
