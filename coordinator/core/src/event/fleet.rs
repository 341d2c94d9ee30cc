//! What is heard of machines of Auto Scaling groups.

use std::fmt;
use std::time::Duration;

use model::fleet::{HookCall, HookId, Notice, PoolPolicy, Survey, WAIT_LIMITS};
use model::id::NodeId;

use crate::command::{Key, Outcome};

/// Something heard of machines of Auto Scaling groups.
#[derive(Debug, Clone)]
pub enum FleetEvent {
    /// An operator has the machines of an Auto Scaling group as nodes, or says how they come and go.
    PutPool {
        /// The name of the group.
        name: String,
        /// How.
        policy: PoolPolicy,
    },
    /// An operator leaves an Auto Scaling group to itself.
    RemovePool(String),
    /// Somebody has looked at the cloud.
    Surveyed(Box<Survey>),
    /// A group waits for an answer.
    Hooked(HookCall),
    /// The cloud, or an agent that has heard it there, says what a machine has to expect.
    Noticed {
        /// Which.
        node: NodeId,
        /// What.
        notice: Notice,
    },
    /// The cloud has done what it was asked, or not.
    Performed {
        /// What it was asked.
        key: Key,
        /// What came of it.
        outcome: Outcome,
    },
}

/// Why what was asked of a pool, or of a machine of one, can not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolRefusal {
    /// There is no such pool.
    None(String),
    /// The group waits for an answer about this machine.
    Waits(String, HookId),
    /// No machine may be waited for so long, or so shortly.
    Wait(Duration),
    /// The machine ends, whatever an operator wants of its node.
    Leaving(NodeId),
}

impl fmt::Display for PoolRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(name) => write!(f, "there is no pool {name}: `wharf pool ls` names them"),
            Self::Waits(name, hook) => write!(
                f,
                "the group {name} waits for an answer about {hook}: try again once `wharf pool inspect {name}` shows none"
            ),
            Self::Wait(asked) => write!(
                f,
                "a machine is waited for from {} s to {} h, and {} s were asked for",
                WAIT_LIMITS.0.as_secs(),
                WAIT_LIMITS.1.as_secs() / 3_600,
                asked.as_secs()
            ),
            Self::Leaving(node) => write!(
                f,
                "the machine of {node} is on its way out and can not be kept: its tasks go elsewhere"
            ),
        }
    }
}
