//! Traffic: load balancers that send requests to tasks, by target groups in which instances are registered with a port.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use crate::id::TargetGroup;
use crate::id::{NodeId, TaskId};
use crate::time::Timestamp;

/// The most target groups of one service: as many as ECS allows.
pub const ROUTES_LIMIT: usize = 5;

/// How long a task may be waited for to leave a target group of which nothing is known: what a group waits unless it is told
/// otherwise (`deregistration_delay.timeout_seconds`).
pub const LEAVE_USUALLY: Duration = Duration::from_secs(300);

/// The longest that a target group waits itself.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(3_600);

/// A target group that sends requests to a port of each task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which group.
    pub group: TargetGroup,
    /// The port inside the container, which the host publishes.
    pub port: u16,
    /// How long a task that is to stop is kept for the requests that it has, at most; as long as the group waits when there
    /// is none. At most [`LEAVE_LIMIT`].
    pub leave_within: Option<Duration>,
}

/// What a target group sends requests to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The instance.
    pub node: NodeId,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.port)
    }
}

/// Which registration: the same as at the load balancer, where an instance is known once in a group by each port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistrationId {
    /// Where.
    pub group: TargetGroup,
    /// What.
    pub target: Target,
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.group, self.target)
    }
}

/// That we have registered something, or are about to. Only what has such a record is ever taken out again: others register
/// instances too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Which.
    pub id: RegistrationId,
    /// For whom.
    pub task: TaskId,
    /// Since when it has been wanted.
    pub since: Timestamp,
    /// Whether it is wanted.
    pub phase: RegistrationPhase,
}

/// Whether a registration is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegistrationPhase {
    /// It is.
    Entering,
    /// It is to go. Its record goes when the load balancer shows it no more.
    Leaving,
}

/// How a task stands with its load balancers. Of one that has none always [`Traffic::Out`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traffic {
    /// Not all of them send it requests.
    #[default]
    Out,
    /// All of them do.
    In {
        /// Since when.
        since: Timestamp,
    },
    /// It is to stop, and none sends it anything new. Its agent is not told before it has left, or it is time.
    Leaving {
        /// It is not waited for any longer.
        until: Timestamp,
    },
}

/// What a load balancer says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHealth {
    /// It has not been found healthy yet.
    Initial,
    /// It gets requests.
    Healthy,
    /// It fails the checks of its group.
    Unhealthy {
        /// In the load balancer's words.
        why: String,
    },
    /// It gets nothing new, and those that it has come to their end.
    Draining,
    /// It is registered, and nobody checks it: its group has no checks, or no load balancer uses it.
    Unchecked,
}

/// What one look at a target group has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Which group.
    pub group: TargetGroup,
    /// What it has shown, or why it could not be looked at.
    pub shown: Result<Shown, Unseen>,
}

/// Why a target group could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// In words.
    pub why: String,
    /// Whether there is no such group: then nothing is registered in it.
    pub is_gone: bool,
}

/// What a target group shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// How long it waits for the requests of what leaves it.
    pub delay: Duration,
    /// Everything that is registered in it or leaves it, by whomever.
    pub targets: BTreeMap<Target, TargetHealth>,
}
