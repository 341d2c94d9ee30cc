//! What the coordinator hears, and what it answers.

mod bake;
mod fleet;
mod secret;
mod traffic;
mod trial;

use std::fmt;
use std::time::Duration;

use model::id::{BakeId, NodeId, ServiceId, TaskId};
use model::image::Stock;
use model::node::{Availability, DrainCause, Node};
use model::release::GoBack;
use model::rollout::Steering;
use model::spec::ServiceSpec;
use model::task::{ContainerStatus, TaskState};
use model::time::Timestamp;

pub use self::bake::{BakeAnswer, BakeEvent, BakeRefusal, ImageState, MachinePower, RecipeLook};
pub use self::fleet::{FleetEvent, NoOrder, PoolRefusal, RefreshEvent, Target};
pub use self::secret::{SecretEvent, SecretRefusal, SecretSet};
pub use self::traffic::TrafficEvent;
pub use self::trial::TrialRefusal;

/// Something heard. Events are written down first; deciding comes after all of a batch.
#[derive(Debug, Clone)]
pub enum Event {
    /// An operator wants this to run: all of it, or nothing is changed.
    Deploy {
        /// What should run.
        specs: Vec<ServiceSpec>,
        /// What should not run any more.
        remove: Vec<ServiceId>,
        /// Which generation the target of each of these would be then, by a plan that the operator has seen: if somebody else
        /// was faster nothing is done.
        expect: Vec<(ServiceId, u64)>,
    },
    /// An operator wants new tasks of the same spec.
    Restart(ServiceId),
    /// An operator wants something of a job.
    Job {
        /// Of which service.
        service: ServiceId,
        /// What.
        order: JobOrder,
    },
    /// An operator wants so many replicas.
    Scale {
        /// Of which service.
        service: ServiceId,
        /// From 0 to [`model::spec::REPLICAS_LIMIT`].
        replicas: u32,
    },
    /// An operator wants an earlier generation back.
    Rollback {
        /// Of which service.
        service: ServiceId,
        /// Which; the last stable one when there is none.
        to: Option<u64>,
    },
    /// An operator wants what ran at a time back.
    GoBack(Box<GoBack>),
    /// An operator wants something of a rollout that is under way.
    Steer {
        /// Of which service.
        service: ServiceId,
        /// What.
        steering: Steering,
    },
    /// An operator wants the service gone.
    Remove(ServiceId),
    /// An agent introduced its node.
    Joined(Box<Node>),
    /// An operator opens a node for new tasks, or closes it.
    SetAvailability {
        /// Which.
        node: NodeId,
        /// What it shall be. To be dead is proven, not asked for: see [`Event::Died`].
        availability: Availability,
    },
    /// Nodes are to be emptied. That is undone by opening them.
    Drain {
        /// Which: all of them are closed before anything moves.
        nodes: Vec<NodeId>,
        /// How long it waits for what the services do not allow: at most [`model::node::DRAIN_LIMIT`].
        within: Duration,
        /// Who wants it.
        cause: DrainCause,
    },
    /// An operator wants tasks moved to where their services are spread better, and not only after nodes have come.
    Rebalance,
    /// An agent gave a sign of life.
    Heard {
        /// Whose.
        node: NodeId,
        /// Whether its engine answers it.
        engine: EngineState,
    },
    /// An agent says what it sees of its tasks.
    Reported {
        /// Who says it; only its own tasks are believed.
        node: NodeId,
        /// What it says.
        tasks: Vec<Report>,
        /// Whether this is about all of its tasks, as at the beginning of each session.
        is_complete: bool,
    },
    /// An agent says which images its engine has: by id, and by the digest of a manifest.
    Images {
        /// Whose.
        node: NodeId,
        /// All of them, and what else it has.
        stock: Stock,
    },
    /// It is proven that nothing runs on the node any more.
    Died(NodeId),
    /// Something about machines of Auto Scaling groups.
    Fleet(FleetEvent),
    /// Something about machine images and how they are made.
    Bake(BakeEvent),
    /// Something about load balancers.
    Traffic(TrafficEvent),
    /// Something about secrets.
    Secret(SecretEvent),
}

/// What an operator wants of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOrder {
    /// A run now.
    Run,
    /// An end of what is in progress.
    Stop,
    /// No more runs by its schedule.
    Suspend,
    /// Runs by its schedule again.
    Resume,
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
    /// What it does or waits for.
    pub note: String,
    /// Each container.
    pub containers: Vec<ContainerStatus>,
    /// When the lease ends that it holds, by the clock of its node.
    pub lease: Option<Timestamp>,
}

/// Whether the engine of a node answers its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// It does.
    Ready,
    /// It does not: what runs there is unknown, and nothing new is placed.
    Silent,
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
    /// The newest run of the job.
    Run {
        /// Its number.
        number: u64,
    },
    /// The generation that now is the target of each service, in the order of the request.
    Deployed(Vec<(ServiceId, u64)>),
    /// The bake that has begun.
    Baking(BakeId),
    /// What came of a new value of a secret.
    SecretSet(SecretSet),
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
    /// The target would be another generation than an operator expects who has seen a plan: somebody was faster.
    Overtaken {
        /// Of which service.
        service: ServiceId,
        /// By the plan.
        expected: u64,
        /// By what is there now; none when the request does not name the service.
        would_be: Option<u64>,
    },
    /// Only a replicated service has a number of replicas.
    NotReplicated(ServiceId),
    /// More than [`model::spec::REPLICAS_LIMIT`].
    TooManyReplicas(u32),
    /// Only a job has runs.
    NotJob(ServiceId),
    /// Only a job with a schedule can be suspended.
    NoSchedule(ServiceId),
    /// The job has a run in progress, and they may not overlap.
    RunInProgress(ServiceId, u64),
    /// The job has no run in progress.
    NoRun(ServiceId),
    /// There is no earlier healthy generation to go back to.
    NothingToRollBackTo(ServiceId),
    /// There is nothing to go back to: what ran at that time runs now.
    NothingElseRan(Timestamp),
    /// The generation is not remembered.
    NoGeneration(ServiceId, u64),
    /// Nothing is being rolled out.
    NoRollout(ServiceId),
    /// Jobs have runs and no rollouts.
    RunsToEnd(ServiceId),
    /// What a rollout tries is not to be had, or not yet.
    Trial(ServiceId, TrialRefusal),
    /// There is no such node.
    NoNode(NodeId),
    /// The node is proven dead.
    DeadNode(NodeId),
    /// Nothing waits for so long.
    LongDrain(Duration),
    /// A service depends on one that neither is there nor comes with it.
    NoDependency {
        /// Which.
        service: ServiceId,
        /// On what.
        on: ServiceId,
    },
    /// Services wait for each other.
    DependencyCycle(Vec<ServiceId>),
    /// One request names a service twice.
    NamedTwice(ServiceId),
    /// What is asked of a pool, or of a machine of one, can not be done.
    Pool(PoolRefusal),
    /// What is asked of a bake, or of an image, can not be done.
    Bake(BakeRefusal),
    /// What is asked of a secret, or named by a spec, can not be done.
    Secret(SecretRefusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService(id) => write!(f, "there is no service {id}"),
            Self::Removing(id) => write!(f, "{id} is being removed: try again once it is gone"),
            Self::Overtaken { service, expected, would_be: Some(now) } => write!(
                f,
                "{service} would be generation {now}, and the plan said {expected}: something has changed since, so plan again"
            ),
            Self::Overtaken { service, would_be: None, .. } => {
                write!(f, "{service} is expected to change and is not in the request")
            }
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
            Self::NotJob(id) => write!(f, "{id} is not a job, and has no runs"),
            Self::NoSchedule(id) => write!(f, "{id} has no schedule to suspend or resume"),
            Self::RunInProgress(id, number) => {
                write!(f, "{id} has run {number} in progress: wait for it, or stop it first")
            }
            Self::NoRun(id) => write!(f, "{id} has no run in progress"),
            Self::NothingToRollBackTo(id) => {
                write!(f, "{id} has no earlier generation that was healthy")
            }
            Self::NothingElseRan(then) => {
                write!(f, "what ran at {then} runs now, as far as it is known")
            }
            Self::NoGeneration(id, number) => {
                write!(f, "{id} has no generation {number} that is remembered")
            }
            Self::NoRollout(id) => {
                write!(
                    f,
                    "{id} is not being rolled out: `wharf service history {id}` shows what was"
                )
            }
            Self::RunsToEnd(id) => write!(
                f,
                "{id} is a job, which has runs and no rollout: see `wharf job stop` and `wharf job suspend`"
            ),
            Self::Trial(id, refusal) => refusal.say(f, id),
            Self::NoNode(node) => write!(f, "there is no node {node}"),
            Self::DeadNode(node) => write!(f, "node {node} is gone for good"),
            Self::LongDrain(asked) => write!(
                f,
                "a drain waits for a week at most, and {} s were asked for",
                asked.as_secs()
            ),
            Self::NoDependency { service, on } => {
                write!(f, "{service} depends on {on}, which is not there and not in the request")
            }
            Self::DependencyCycle(cycle) => {
                let names: Vec<String> = cycle.iter().map(ToString::to_string).collect();
                write!(f, "services wait for each other: {}", names.join(" → "))
            }
            Self::NamedTwice(id) => write!(f, "the request has {id} twice"),
            Self::Pool(why) => write!(f, "{why}"),
            Self::Bake(why) => write!(f, "{why}"),
            Self::Secret(why) => write!(f, "{why}"),
        }
    }
}
