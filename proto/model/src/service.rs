//! A service and the generations of its spec.

use std::sync::Arc;

use crate::id::ServiceId;
use crate::job::Runs;
use crate::rollout::{Rollout, Stage, Trial};
use crate::spec::ServiceSpec;
use crate::time::Timestamp;

/// A service as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in the cluster.
    pub id: ServiceId,
    /// The generation that should run.
    pub target: Arc<Generation>,
    /// The newest generation that was healthy in every slot: where a rollback goes.
    pub stable: Option<Arc<Generation>>,
    /// Generations before the target, oldest first; at most [`HISTORY_LIMIT`].
    pub history: Vec<Past>,
    /// What is being done with it.
    pub phase: ServicePhase,
    /// Its runs, if it is or was a job.
    pub runs: Runs,
}

impl Service {
    /// How far the target may go.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match &self.phase {
            ServicePhase::Rolling(rollout) => rollout.stage,
            ServicePhase::Halted { stage, .. } => *stage,
            ServicePhase::Steady | ServicePhase::Removing => Stage::Everywhere,
        }
    }

    /// Says whether it can be what it was at some time. What has run to its end would be done again: a job only goes back where
    /// its schedule says when it runs next.
    #[must_use]
    pub fn goes_back(&self) -> bool {
        let spec = &self.target.spec;
        let is_done_again = spec.mode.runs_to_end() && spec.schedule.is_none();
        self.phase != ServicePhase::Removing && !is_done_again
    }

    /// Says whether tasks of this template get no requests now, though they run: the new ones before a switch, and the old ones
    /// after it.
    #[must_use]
    pub fn keeps_dark(&self, template: u64) -> bool {
        let is_target = template == self.target.template;
        match (self.target.spec.update.trial, self.stage()) {
            (Some(Trial::BlueGreen(_)), Stage::Trial | Stage::Holding { .. }) => is_target,
            (Some(Trial::BlueGreen(_)), Stage::Keeping { .. }) => !is_target,
            (Some(Trial::BlueGreen(_)), Stage::Switching { .. } | Stage::Everywhere)
            | (Some(Trial::Canary(_)) | None, _) => false,
        }
    }
}

/// How many generations before the target are remembered.
pub const HISTORY_LIMIT: usize = 10;

/// A generation that is not the target any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// What it was.
    pub generation: Arc<Generation>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was healthy in every slot.
    Stable,
    /// Its rollout failed.
    Failed,
    /// A newer one came before it was done.
    Superseded,
    /// An operator broke its rollout off.
    Aborted,
}

/// What is being done with a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePhase {
    /// Its slots are being moved to the target. Of a job: a run that was deployed is in progress.
    Rolling(Rollout),
    /// Each slot runs the target. Of a job: the run is over, or its schedule says when the next one is.
    Steady,
    /// The rollout, or the run of a job, failed and waits for an operator.
    Halted {
        /// Why, in the operator's words.
        reason: String,
        /// How far it had come.
        stage: Stage,
    },
    /// Everything of it is being stopped; then it is forgotten.
    Removing,
}

/// An accepted spec, numbered from 1 in each service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counts upward and is never used again, not even by a rollback.
    pub number: u64,
    /// The number of the generation that first had this task spec: tasks are exchanged only when it differs.
    pub template: u64,
    /// Where it came from.
    pub origin: Origin,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What it says.
    pub spec: ServiceSpec,
}

/// Where a generation came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An operator deployed it.
    Deployed,
    /// An operator changed the number of replicas.
    Scaled,
    /// An operator asked for new tasks of the same spec.
    Restarted,
    /// An operator or a failed rollout went back to the task spec of that generation.
    RolledBack {
        /// The generation whose task spec it has.
        to: u64,
    },
}
