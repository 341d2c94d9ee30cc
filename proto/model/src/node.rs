//! A machine with our agent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::NodeId;
use crate::resources::Resources;
use crate::time::Timestamp;

/// A machine with our agent, as the coordinator remembers it.
///
/// What is heard every few seconds (presence, usage) is not here: it is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// On EC2 the instance id.
    pub id: NodeId,
    /// As the kernel says it.
    pub hostname: String,
    /// Nodes with the same engine share its host ports.
    pub engine: String,
    /// The failure domain; on EC2 the availability zone.
    pub zone: String,
    /// The processor's architecture as Docker names it: `amd64`, `arm64`.
    pub arch: String,
    /// What constraints can ask for.
    pub labels: BTreeMap<String, String>,
    /// What tasks may hold in all.
    pub capacity: Resources,
    /// What the operator allows.
    pub availability: Availability,
    /// What it was launched from: an Auto Scaling group.
    pub pool: Option<String>,
    /// The machine image that it booted.
    pub ami: Option<String>,
    /// What kind of machine it is: `m7g.large`.
    pub instance_type: Option<String>,
    /// As the engine names it: `linux`.
    pub os: Option<String>,
    /// Of the engine: `28.2.2`.
    pub engine_version: Option<String>,
    /// As the kernel says it: `6.1.0-18-amd64`.
    pub kernel_version: Option<String>,
    /// Until the services of every node serve there, and until then at the latest, it takes nothing else. None once it is open.
    pub preparing_until: Option<Timestamp>,
    /// How it is being emptied, if it is. Such a node is closed to new tasks.
    pub drain: Option<Drain>,
}

/// How a node is being emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Who wants it.
    pub cause: DrainCause,
    /// Since when.
    pub since: Timestamp,
    /// From then on what is left is stopped, whatever it costs.
    pub deadline: Timestamp,
    /// How far it is.
    pub phase: DrainPhase,
}

/// Who wants a node to be empty. Of two causes the later in this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainCause {
    /// Nothing needs the machine. An operator who empties it as well means to keep it.
    ScaleIn,
    /// An operator.
    Operator,
    /// The machine is replaced by one of a newer image.
    Refresh,
    /// The cloud says that the machine is more likely than others to be taken back.
    AtRisk,
    /// The machine is on its way out of its Auto Scaling group.
    Terminating,
    /// The machine is taken back whatever we do: what its services allow does not count any more.
    Interrupted,
}

impl DrainCause {
    /// Says whether the machine ends whatever an operator wants.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::ScaleIn | Self::Operator | Self::Refresh | Self::AtRisk => false,
            Self::Terminating | Self::Interrupted => true,
        }
    }
}

/// How far a drain is. Only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainPhase {
    /// Tasks leave as their services allow it.
    Moving,
    /// The deadline has passed: what is left is stopped.
    Forced {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing of ours runs there any more.
    Drained {
        /// Since when.
        since: Timestamp,
    },
}

/// How long a drain waits for what its services do not allow, unless it is told otherwise.
pub const DRAIN_USUALLY: Duration = Duration::from_secs(900);

/// No drain may wait longer: whoever wants a node empty in more than a week can ask again.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(7 * 86_400);

impl Node {
    /// Says whether it is being emptied, or is empty, because nothing needs its machine.
    #[must_use]
    pub fn is_shrinking(&self) -> bool {
        self.availability != Availability::Dead
            && self.drain.is_some_and(|drain| drain.cause == DrainCause::ScaleIn)
    }

    /// Says whether tasks are to leave the node, or would be.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        match self.drain.map(|drain| drain.phase) {
            Some(DrainPhase::Moving | DrainPhase::Forced { .. }) => true,
            Some(DrainPhase::Drained { .. }) | None => false,
        }
    }
}

/// What the operator allows on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Tasks may be placed.
    Active,
    /// No new tasks; those there go on.
    Cordoned,
    /// Proven gone: what ran there does not run any more.
    Dead,
}
