//! What an operator wants to run, as it was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::budget::Budget;
use crate::constraint::Constraint;
use crate::id::{ContainerName, SecretName, ServiceId, ServiceName};
use crate::image::Image;
use crate::job::Job;
use crate::lease::LeasePolicy;
use crate::policy::Profile;
use crate::preference::Preference;
use crate::priority::Priority;
use crate::resources::Resources;
use crate::rollout::{Tolerance, Trial};
use crate::schedule::Schedule;
use crate::secret::{Rotation, SecretUses};
use crate::traffic::Route;

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
    /// Services of the same project that a rollout of this one waits for.
    pub after: Vec<Dependency<ServiceName>>,
    /// How many of its tasks we may take away by our own doing.
    pub budget: Budget,
    /// How its tasks are put on nodes from now on. A change of it moves nothing.
    pub strategy: Strategy,
    /// What it would rather have of their nodes, at most [`crate::preference::PREFERENCES_LIMIT`]. A change of it moves nothing by
    /// itself either.
    pub preferences: Vec<Preference>,
    /// Whether it takes room from others that matter less, or gives way.
    pub priority: Priority,
    /// Whether its tasks stay where they are when nodes have come and it could be spread better.
    pub is_left_in_place: bool,
    /// When its runs begin by themselves. Only of a job.
    pub schedule: Option<Schedule>,
}

/// Which of the nodes that can take a task gets it. Zones come first either way: what fails together is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The node with the fewest tasks of the service, then the emptiest.
    #[default]
    Spread,
    /// The node that is left with the least of what nobody can use: full nodes stay full and empty ones empty.
    Binpack,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spread => "spread",
            Self::Binpack => "binpack",
        })
    }
}

/// Something that has to be there first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency<Name> {
    /// What has to be there.
    pub on: Name,
    /// How far it must have come.
    pub condition: DependencyCondition,
}

/// How far something must have come before what depends on it starts. Compose's `depends_on` conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyCondition {
    /// `service_started`
    Started,
    /// `service_healthy`
    Healthy,
    /// `service_completed_successfully`
    Completed,
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
    /// One task that runs to its end and is not restarted: a command that an operator runs once.
    Once,
    /// Tasks that run to their end, in runs.
    Job(Job),
}

impl Mode {
    /// Says whether its tasks run to their end, and no agent starts one again.
    #[must_use]
    pub const fn runs_to_end(self) -> bool {
        match self {
            Self::Once | Self::Job(_) => true,
            Self::Replicated { .. } | Self::Global => false,
        }
    }
}

/// The most replicas of one service: more than any cluster we know of runs in all, and a typing error of three digits
/// is still refused.
pub const REPLICAS_LIMIT: u32 = 100_000;

/// One or more containers that run together on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// In the order of the file; the first one owns the network namespace.
    pub containers: Vec<ContainerSpec>,
    /// What the containers are connected to, all of them alike.
    pub network: Network,
    /// Each must hold of the node.
    pub constraints: Vec<Constraint>,
    /// The most tasks of this service on one node, if limited.
    pub max_per_node: Option<u32>,
    /// What happens when a container ends by itself.
    pub restart: RestartPolicy,
    /// Counts the restarts that the operator asked for: a change of it makes new tasks.
    pub restarts_asked: u64,
    /// Whether a task may say that it is not to be stopped yet.
    pub lease: Option<LeasePolicy>,
    /// Target groups that send each task requests: it serves once all of them do. At most
    /// [`crate::traffic::ROUTES_LIMIT`].
    pub routes: Vec<Route>,
    /// What a new version of one of its secrets means for tasks that run.
    pub rotation: Rotation,
    /// How much its containers may do.
    pub profile: Profile,
}

impl TaskSpec {
    /// What it asks of a node whatever runs there.
    #[must_use]
    pub fn of_node(&self) -> (&[Constraint], Profile) {
        (&self.constraints, self.profile)
    }

    /// What all containers hold together.
    #[must_use]
    pub fn reservation(&self) -> Resources {
        self.containers.iter().map(|container| container.reservation).sum()
    }

    /// Each secret that a container of it names, once.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&SecretName> {
        self.containers.iter().flat_map(|container| container.secrets.names()).collect()
    }

    /// Volumes of the project that it writes: what its data are kept in, on the node where it runs.
    pub fn own_volumes(&self) -> impl Iterator<Item = &ServiceName> {
        self.mounts().filter(|mount| !mount.is_read_only).filter_map(|mount| match &mount.source {
            MountSource::Volume { name } => Some(name),
            MountSource::HostVolume { .. }
            | MountSource::Bind { .. }
            | MountSource::Tmpfs { .. } => None,
        })
    }

    /// Volumes that somebody must have made on the node.
    pub fn host_volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts().filter_map(|mount| match &mount.source {
            MountSource::HostVolume { name } => Some(name.as_str()),
            MountSource::Volume { .. } | MountSource::Bind { .. } | MountSource::Tmpfs { .. } => {
                None
            }
        })
    }

    fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.containers.iter().flat_map(|container| &container.mounts)
    }

    /// The host ports that the task needs for itself on a node. In host mode every port that is named is the host's.
    pub fn fixed_ports(&self) -> impl Iterator<Item = HostPort> {
        let is_host = self.network == Network::Host;
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        ports.filter_map(move |port| {
            let number = if is_host { Some(port.container) } else { port.host };
            // In host mode the program itself chooses where it listens.
            let address = port.address.filter(|address| !is_host && !address.is_unspecified());
            number.map(|number| HostPort { number, protocol: port.protocol, address })
        })
    }

    /// Says whether two tasks of this spec can not run side by side: they would share a port of the host or write to
    /// the same data.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        let mut mounts = self.mounts();
        let writes = |mount: &Mount| {
            !mount.is_read_only && !matches!(mount.source, MountSource::Tmpfs { .. })
        };
        self.fixed_ports().next().is_some() || mounts.any(writes)
    }
}

/// What the containers of a task are connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Networks of the project, in which other tasks find this one by its aliases. At least one.
    Project(Vec<Attachment>),
    /// The network of the host itself.
    Host,
    /// Nothing but loopback.
    None,
}

/// A network of the project, and under which names this task is found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name in the project.
    pub network: ServiceName,
    /// DNS names; the name of the service is always among them.
    pub aliases: Vec<String>,
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Unique in the task.
    pub name: ContainerName,
    /// What runs, by digest.
    pub image: Image,
    /// The program and how it is started.
    pub process: ProcessSpec,
    /// What the scheduler sets aside.
    pub reservation: Resources,
    /// What the kernel enforces; zero means without a limit.
    pub limit: Resources,
    /// Published on the host.
    pub ports: Vec<PortSpec>,
    /// What is mounted into the file system.
    pub mounts: Vec<Mount>,
    /// Files that are written into the container before it starts.
    pub files: Vec<FileSpec>,
    /// Replaces the image's own check, if it is given.
    pub health: Option<HealthCheck>,
    /// Containers of the same task that have to be there first.
    pub after: Vec<Dependency<ContainerName>>,
    /// What is sent to stop it; the image's own signal, or SIGTERM, when there is none.
    pub stop_signal: Option<String>,
    /// From the signal to stop until it is killed.
    pub stop_grace: Duration,
    /// The operator's own labels. None begins with `wharf.`.
    pub labels: BTreeMap<String, String>,
    /// What the kernel lets it do.
    pub security: SecuritySpec,
    /// What it gets of secrets.
    pub secrets: SecretUses,
}

/// The program of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessSpec {
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Added to the image's environment.
    pub environment: BTreeMap<String, String>,
    /// Replaces the image's user, `USER[:GROUP]`.
    pub user: Option<String>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// The name that the container gives itself.
    pub hostname: Option<String>,
    /// Names and addresses for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Whether it has a terminal.
    pub tty: bool,
}

/// What the kernel lets a container do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecuritySpec {
    /// Capabilities beyond the engine's default.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// The root file system can not be written.
    pub is_read_only: bool,
    /// The most processes and threads, if limited.
    pub pids_limit: Option<u32>,
    /// Soft and hard limits by name.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Kernel parameters of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The size of `/dev/shm` in bytes; the engine's default when there is none.
    pub shm_bytes: Option<u64>,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// An absolute path in the container.
    pub target: String,
    /// Whether writing is refused.
    pub is_read_only: bool,
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A volume of the project, on the node where the task runs.
    Volume {
        /// The name in the project.
        name: ServiceName,
    },
    /// A volume that somebody has made on the engine: a task that mounts it goes only where it is.
    HostVolume {
        /// Its name on the engine: see [`crate::image::is_volume_name`].
        name: String,
    },
    /// A path of the host.
    Bind {
        /// Absolute.
        path: String,
    },
    /// Memory.
    Tmpfs {
        /// In bytes; zero is without a limit.
        size_bytes: u64,
    },
}

/// A file that is written into a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// An absolute path in the container.
    pub target: String,
    /// At most [`FILE_LIMIT`] bytes.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group, by number.
    pub owner: (u32, u32),
}

/// The longest file that a spec can carry, in bytes: what Swarm allows for a config (500 kB).
pub const FILE_LIMIT: usize = 500_000;

/// How it is found out whether a container works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is tried.
    pub probe: Probe,
    /// From the end of one try to the next.
    pub interval: Duration,
    /// A try that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
}

/// What a health check tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nothing: the image's own check is switched off.
    Disabled,
    /// Runs a command in the container; exit code 0 is good. The first word is `CMD` or `CMD-SHELL`.
    Command(Vec<String>),
    /// Asks for a page; a status from 200 to 399 is good.
    Http {
        /// In the container.
        port: u16,
        /// Begins with a slash.
        path: String,
    },
    /// Opens a connection.
    Tcp {
        /// In the container.
        port: u16,
    },
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
    /// The address of the host that it is published on; all when there is none.
    pub address: Option<std::net::IpAddr>,
}

/// A port of a host, which only one task can have: see [`HostPort::meets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// From 1 to 65535.
    pub number: u16,
    /// TCP and UDP ports of the same number do not meet.
    pub protocol: Protocol,
    /// The address of the host; none for all of them.
    pub address: Option<std::net::IpAddr>,
}

impl HostPort {
    /// Says whether the two can not both be listened on. A port on all addresses meets that of each single one.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let same_address = match (self.address, other.address) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        (self.number, self.protocol) == (other.number, other.protocol) && same_address
    }
}

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// When the agent starts an ended container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After which ends.
    pub condition: RestartCondition,
    /// How often at the most; without a limit when there is none.
    pub max_attempts: Option<u32>,
    /// The wait before the second restart in a row; the first is immediate, and each further wait is twice as long, up
    /// to five minutes.
    pub delay: Duration,
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
    /// From when a new task has settled until the next slot is begun.
    pub delay: Duration,
    /// New tasks that may fail before the rollout does, in thousandths of the slots.
    pub max_failure_permille: u32,
    /// Bounds of that.
    pub tolerance: Tolerance,
    /// A rollout that makes no progress for so long has failed.
    pub progress_deadline: Duration,
    /// What a failed rollout does.
    pub on_failure: FailureAction,
    /// How a new generation is tried, if it is.
    pub trial: Option<Trial>,
}

/// Which of the two tasks of a slot goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// Start first unless two tasks of the spec can not run side by side.
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
