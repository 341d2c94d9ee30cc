//! What an operator wants to run, as it was accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{ContainerName, ServiceId};
use crate::image::Image;
use crate::resources::Resources;

/// What the operator wants of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Whose spec it is.
    pub id: ServiceId,
    /// How many tasks, and where.
    pub mode: Mode,
    /// What each task is. Two generations with equal task specs share their tasks.
    pub task: TaskSpec,
    /// How tasks are exchanged for those of a newer generation.
    pub update: UpdatePolicy,
}

/// How many tasks a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// So many, wherever there is room.
    Replicated {
        /// From 0 to [`REPLICAS_LIMIT`].
        replicas: u32,
    },
    /// One on each node that the constraints allow.
    Global,
    /// One task that runs to its end and is not restarted.
    Once,
}

/// The most replicas of one service: more than any cluster we know of runs in all, and a typing error of three digits
/// is still refused.
pub const REPLICAS_LIMIT: u32 = 100_000;

/// One or more containers that run together on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// In the order of the file; the first one owns the network namespace.
    pub containers: Vec<ContainerSpec>,
    /// Each must hold of the node.
    pub constraints: Vec<Constraint>,
    /// The most tasks of this service on one node, if limited.
    pub max_per_node: Option<u32>,
    /// What happens when a container ends by itself.
    pub restart: RestartPolicy,
    /// Counts the restarts that the operator asked for: a change of it makes new tasks.
    pub restarts_asked: u64,
}

impl TaskSpec {
    /// What all containers hold together.
    #[must_use]
    pub fn reservation(&self) -> Resources {
        self.containers.iter().map(|container| container.reservation).sum()
    }

    /// The host ports that the task needs for itself on a node.
    pub fn fixed_ports(&self) -> impl Iterator<Item = HostPort> {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        ports
            .filter_map(|port| port.host.map(|number| HostPort { number, protocol: port.protocol }))
    }
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Unique in the task.
    pub name: ContainerName,
    /// What runs, by digest.
    pub image: Image,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Added to the image's environment.
    pub environment: BTreeMap<String, String>,
    /// What the scheduler sets aside.
    pub reservation: Resources,
    /// What the kernel enforces; zero means without a limit.
    pub limit: Resources,
    /// Published on the host.
    pub ports: Vec<PortSpec>,
    /// From the signal to stop until it is killed.
    pub stop_grace: Duration,
}

/// A container's port that the host publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSpec {
    /// Inside the container.
    pub container: u16,
    /// On the host; the node chooses a free one when there is none.
    pub host: Option<u16>,
    /// Of both.
    pub protocol: Protocol,
}

/// A port of a host, which only one task can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// From 1 to 65535.
    pub number: u16,
    /// TCP and UDP ports of the same number do not meet.
    pub protocol: Protocol,
}

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// A condition on the node, as Compose writes it: `node.labels.disk == ssd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// What of the node is compared.
    pub attribute: Attribute,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// What of a node a constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `node.id`
    Id,
    /// `node.hostname`
    Hostname,
    /// `node.zone`
    Zone,
    /// `node.labels.KEY`; a label that is not there equals nothing.
    Label(String),
}

/// How a constraint compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// When the agent starts an ended container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After which ends.
    pub condition: RestartCondition,
    /// How often at the most; without a limit when there is none.
    pub max_attempts: Option<u32>,
}

/// After which ends a container is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartCondition {
    /// Never.
    Never,
    /// After an exit code other than 0, a signal or lack of memory.
    OnFailure,
    /// Always.
    Any,
}

/// How a service moves from one generation to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// Slots that are exchanged at the same time; at least 1.
    pub parallelism: u32,
    /// Which of the two tasks of a slot goes first.
    pub order: UpdateOrder,
    /// How long a new task must stay healthy before it counts.
    pub monitor: Duration,
    /// New tasks that may fail before the rollout does, in thousandths of the slots.
    pub max_failure_permille: u32,
    /// What a failed rollout does.
    pub on_failure: FailureAction,
}

/// Which of the two tasks of a slot goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// Start first unless the task needs a fixed host port, which two tasks of one node can not share.
    Auto,
    /// The new one is healthy before the old one stops.
    StartFirst,
    /// The old one has stopped before the new one starts.
    StopFirst,
}

/// What a failed rollout does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// The whole service goes back to the last generation that was healthy.
    Rollback,
    /// Stays as it is until an operator says more.
    Pause,
    /// Goes on.
    Continue,
}
