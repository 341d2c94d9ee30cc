//! What the coordinator hears, and what it answers.

use std::fmt;

use model::id::{NodeId, ServiceId, TaskId};
use model::node::Node;
use model::spec::ServiceSpec;
use model::task::TaskState;

/// Something heard. Events are written down first; deciding comes after all of a batch.
#[derive(Debug, Clone)]
pub enum Event {
    /// An operator wants this to run.
    Deploy(Box<ServiceSpec>),
    /// An operator wants so many replicas.
    Scale {
        /// Of which service.
        service: ServiceId,
        /// From 0 to [`model::spec::REPLICAS_LIMIT`].
        replicas: u32,
    },
    /// An operator wants the last healthy generation back.
    Rollback(ServiceId),
    /// An operator wants the service gone.
    Remove(ServiceId),
    /// An agent introduced its node.
    Joined(Box<Node>),
    /// An agent gave a sign of life.
    Heard(NodeId),
    /// An agent says what it sees of its tasks.
    Reported {
        /// Who says it; only its own tasks are believed.
        node: NodeId,
        /// What it says.
        tasks: Vec<Report>,
    },
    /// It is proven that nothing runs on the node any more.
    Died(NodeId),
}

/// What an agent sees of one task.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of which.
    pub task: TaskId,
    /// What it sees.
    pub state: TaskState,
    /// How often it started the task again.
    pub restarts: u32,
}

/// The answer to one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Heard; nothing more to say.
    Noted,
    /// The generation that now is the target.
    Accepted {
        /// Its number.
        generation: u64,
    },
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why a request changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such service.
    NoService(ServiceId),
    /// The service is being removed; deploy it again once it is gone.
    Removing(ServiceId),
    /// Only a replicated service has a number of replicas.
    NotReplicated(ServiceId),
    /// More than [`model::spec::REPLICAS_LIMIT`].
    TooManyReplicas(u32),
    /// There is no earlier healthy generation to go back to.
    NothingToRollBackTo(ServiceId),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService(id) => write!(f, "there is no service {id}"),
            Self::Removing(id) => write!(f, "{id} is being removed: try again once it is gone"),
            Self::NotReplicated(id) => {
                write!(f, "{id} has no number of replicas: its mode is not replicated")
            }
            Self::TooManyReplicas(asked) => {
                write!(
                    f,
                    "{asked} replicas are more than the {} allowed",
                    model::spec::REPLICAS_LIMIT
                )
            }
            Self::NothingToRollBackTo(id) => {
                write!(f, "{id} has no earlier generation that was healthy")
            }
        }
    }
}
