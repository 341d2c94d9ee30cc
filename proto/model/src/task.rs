//! One run of one generation in a slot.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::id::{ContainerName, NodeId, SecretName, ServiceId, Slot, TaskId};
use crate::rollout::Trial;
use crate::service::Generation;
use crate::spec::Protocol;
use crate::time::Timestamp;
use crate::traffic::Traffic;

/// One run of one generation in a slot on a node. Replaced, never moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Unique for ever.
    pub id: TaskId,
    /// Whose task it is.
    pub service: ServiceId,
    /// Which place of the service it fills.
    pub slot: Slot,
    /// What it runs.
    pub generation: Arc<Generation>,
    /// Where it runs, once it is placed.
    pub node: Option<NodeId>,
    /// Where room is being made for it: less important tasks stop there. It is given that node, or another that can take it
    /// earlier. Only while it waits.
    pub room_on: Option<NodeId>,
    /// What the coordinator wants. Only the coordinator changes it.
    pub desired: DesiredState,
    /// What was seen. Only the agent's reports change it.
    pub state: TaskState,
    /// How often its agent started it again.
    pub restarts: u32,
    /// What its agent says about it: what it does or waits for. Empty when there is nothing to say.
    pub note: String,
    /// What was seen of each container, in the order of the spec. Empty before the node has spoken.
    pub containers: Vec<ContainerStatus>,
    /// When the coordinator made it.
    pub created_at: Timestamp,
    /// From when on it has to come up in time: when it was given a node, or when the last of its images was there. None of
    /// one that was placed by a version of before 0.2, or not yet.
    pub clock_since: Option<Timestamp>,
    /// Since when it is to move to where its service is spread better: another is made first, in its slot. None otherwise.
    pub moving_since: Option<Timestamp>,
    /// When its node had been silent for so long that another task was to take its place. None while the node is heard,
    /// and again when it came back and this task was kept.
    pub missed_at: Option<Timestamp>,
    /// When its agent was heard to say that it had ended.
    pub ended_at: Option<Timestamp>,
    /// How often the application had failed before in the same slot of a run. Only of a job.
    pub failures: u32,
    /// How it stands with its load balancers.
    pub traffic: Traffic,
    /// Which version of each secret that its spec names it is to have.
    pub secrets: BTreeMap<SecretName, u64>,
}

impl Task {
    /// Says since when the task has been serving, if it is: it works, and the load balancers of its spec send it requests.
    #[must_use]
    pub fn serving_since(&self) -> Option<Timestamp> {
        let since = self.state.serving_since()?;
        if self.generation.spec.task.routes.is_empty() {
            return Some(since);
        }
        match self.traffic {
            Traffic::In { since: reached } => Some(since.max(reached)),
            Traffic::Out | Traffic::Leaving { .. } => None,
        }
    }

    /// Since when the task has worked as well as it can by itself, to see how long that takes. What waits to be switched to is
    /// not slow.
    #[must_use]
    pub fn up_since(&self) -> Option<Timestamp> {
        match self.generation.spec.update.trial {
            Some(Trial::BlueGreen(_)) => self.state.serving_since(),
            Some(Trial::Canary(_)) | None => self.serving_since(),
        }
    }

    /// What its agent is told: a stop only when the task has left its load balancers.
    #[must_use]
    pub const fn told(&self) -> DesiredState {
        match self.traffic {
            Traffic::Leaving { .. } => DesiredState::Run,
            Traffic::Out | Traffic::In { .. } => self.desired,
        }
    }

    /// Says whether the task is to run and fills its slot, as far as anybody knows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.desired == DesiredState::Run && self.missed_at.is_none()
    }

    /// The node on which what it takes up is booked: where it is, or where room is made for it.
    #[must_use]
    pub fn booked_on(&self) -> Option<&NodeId> {
        self.node.as_ref().or(self.room_on.as_ref())
    }

    /// Says whether it is to run but its node has been silent for too long, so that another may fill its slot.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.desired == DesiredState::Run && self.missed_at.is_some() && !self.state.is_final()
    }
}

/// What the coordinator wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// Run.
    Run,
    /// Stop, and never run again. The only thing that stops a container.
    Stop {
        /// Why.
        cause: StopCause,
        /// Until then the stop waits for the lease that the task holds, if it holds one. It takes no new one meanwhile.
        patience: Option<Timestamp>,
    },
}

impl DesiredState {
    /// Stops it now, whatever it holds.
    #[must_use]
    pub const fn stop(cause: StopCause) -> Self {
        Self::Stop { cause, patience: None }
    }

    /// Why it is to stop, if it is.
    #[must_use]
    pub const fn stop_cause(self) -> Option<StopCause> {
        match self {
            Self::Run => None,
            Self::Stop { cause, .. } => Some(cause),
        }
    }

    /// The same, and nothing is waited for.
    #[must_use]
    pub const fn without_patience(self) -> Self {
        match self {
            Self::Run => Self::Run,
            Self::Stop { cause, .. } => Self::stop(cause),
        }
    }

    /// Until when the stop waits for a lease, if it does.
    #[must_use]
    pub const fn patience(self) -> Option<Timestamp> {
        match self {
            Self::Run => None,
            Self::Stop { patience, .. } => patience,
        }
    }
}

/// Why a task is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// An operator removed the service or asked for fewer replicas.
    Operator,
    /// Its node is being emptied.
    Drain,
    /// A newer generation takes its slot.
    Update,
    /// Another has taken its slot where its service is spread better.
    Balance,
    /// A task of a service that matters more needs its room.
    Preemption,
    /// Another task fills the same slot.
    Duplicate,
    /// It ended and its policy does not start it again.
    Ended,
    /// Its node is proven gone, or was silent for too long when it was to stop anyway.
    NodeDead,
    /// The run of a job that it belongs to is over.
    RunOver,
}

impl StopCause {
    /// Says whether it follows from what an operator asked for, and so needs no second thought.
    #[must_use]
    pub const fn is_intended(self) -> bool {
        match self {
            Self::Operator | Self::Drain | Self::Update => true,
            Self::Balance | Self::Preemption | Self::RunOver => true,
            Self::Duplicate | Self::Ended | Self::NodeDead => false,
        }
    }
}

/// What was seen of a task. Moves forward only: see [`TaskState::may_become`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a node.
    Pending,
    /// Has a node, which has not spoken of it yet.
    Assigned,
    /// Waits for its images, which are being fetched.
    Fetching,
    /// Its containers are being made.
    Preparing,
    /// All of its containers run.
    Running {
        /// Since when.
        since: Timestamp,
        /// What its checks say.
        health: Health,
    },
    /// Its containers ended with exit code 0.
    Completed,
    /// Its containers ended otherwise, or never started.
    Failed {
        /// Whose fault it is.
        kind: FailureKind,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Its node is gone and took it along.
    Lost,
}

/// Whose fault a failure is. Only what the application did counts against its rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The container ended, failed its checks, or can not be started as its spec says.
    Application,
    /// The image could not be fetched.
    Image,
    /// The node or its engine could not do it.
    Host,
}

/// What was seen of one container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name in the task.
    pub name: ContainerName,
    /// The engine's id of the newest one; empty before it was made.
    pub container_id: String,
    /// Counts the containers that were made for it, from 1; 0 before the first.
    pub attempt: u32,
    /// When the newest one was started, by the clock of its node.
    pub started_at: Option<Timestamp>,
    /// How it ended, if it does not run.
    pub exit: Option<Exit>,
    /// What its check says.
    pub health: Health,
    /// Where its ports are found on the host.
    pub ports: Vec<PublishedPort>,
}

/// A port of a container as the host publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedPort {
    /// Inside the container.
    pub container: u16,
    /// On the host.
    pub host: u16,
    /// Of both.
    pub protocol: Protocol,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// As the engine gives it; 128 and more for a signal.
    pub code: i64,
    /// Whether the kernel ended it for want of memory.
    pub is_oom: bool,
    /// What the engine says about it, if anything.
    pub error: String,
    /// When, by the clock of its node.
    pub at: Timestamp,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_oom {
            return write!(f, "out of memory (exit code {})", self.code);
        }
        if !self.error.is_empty() {
            return write!(f, "exit code {}: {}", self.code, self.error);
        }
        match self.code {
            137 => f.write_str("killed by SIGKILL (exit code 137)"),
            139 => f.write_str("killed by SIGSEGV (exit code 139)"),
            143 => f.write_str("ended by SIGTERM (exit code 143)"),
            134 => f.write_str("aborted by SIGABRT (exit code 134)"),
            code => write!(f, "exit code {code}"),
        }
    }
}

/// What the checks of a task say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has no checks: to run is all that is asked.
    Unchecked,
    /// Not known yet.
    Starting,
    /// Passes.
    Healthy,
    /// Failed as often as its check allows.
    Unhealthy,
}

impl TaskState {
    /// Says whether nothing of the task runs, and nothing ever will.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Completed | Self::Failed { .. } | Self::Lost => true,
            Self::Pending
            | Self::Assigned
            | Self::Fetching
            | Self::Preparing
            | Self::Running { .. } => false,
        }
    }

    /// Says since when the task has been serving, if it is.
    #[must_use]
    pub const fn serving_since(&self) -> Option<Timestamp> {
        match self {
            Self::Running { since, health: Health::Unchecked | Health::Healthy } => Some(*since),
            Self::Running { health: Health::Starting | Health::Unhealthy, .. }
            | Self::Pending
            | Self::Assigned
            | Self::Fetching
            | Self::Preparing
            | Self::Completed
            | Self::Failed { .. }
            | Self::Lost => None,
        }
    }

    /// Says whether a report may turn this state into `next`: nothing comes back from the dead, and nothing becomes
    /// unplaced again. A restart by the agent goes from running back to preparing within the same task.
    #[must_use]
    pub const fn may_become(&self, next: &Self) -> bool {
        !self.is_final() && !matches!(next, Self::Pending) && self.rank() <= next.rank()
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Assigned => 1,
            Self::Fetching | Self::Preparing | Self::Running { .. } => 2,
            Self::Completed | Self::Failed { .. } | Self::Lost => 3,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Fetching => "fetching",
            Self::Preparing => "preparing",
            Self::Running { .. } => "running",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Lost => "lost",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_back_from_a_final_state() {
        let running = TaskState::Running { since: Timestamp::default(), health: Health::Healthy };
        let all = [
            TaskState::Pending,
            TaskState::Assigned,
            TaskState::Fetching,
            TaskState::Preparing,
            running,
        ];
        let failed = TaskState::Failed { kind: FailureKind::Application, reason: String::new() };
        for end in [TaskState::Completed, failed, TaskState::Lost] {
            for next in &all {
                assert!(!end.may_become(next), "{end} became {next}");
                assert!(next.may_become(&end), "{next} did not become {end}");
            }
        }
    }

    #[test]
    fn an_agent_may_restart_a_running_task_but_not_unplace_it() {
        let running = TaskState::Running { since: Timestamp::default(), health: Health::Unchecked };
        assert!(running.may_become(&TaskState::Preparing));
        assert!(TaskState::Preparing.may_become(&TaskState::Fetching));
        assert!(!running.may_become(&TaskState::Assigned));
        assert!(!TaskState::Assigned.may_become(&TaskState::Pending));
    }
}
