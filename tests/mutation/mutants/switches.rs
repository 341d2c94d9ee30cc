//! Bugs of services of which two generations are up as a whole.

use super::{Mutant, bug};

const BOOK: &str = "coordinator/core/src/cluster/traffic.rs";
const RECONCILE: &str = "coordinator/core/src/plan/reconcile.rs";
const ROLLOUT: &str = "coordinator/core/src/plan/rollout.rs";
const SLOT: &str = "coordinator/core/src/plan/slot.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "what is lost while another generation is tried is not made anew",
        RECONCILE,
        "wants_task(draft, blue, slot, &before).and_then(|_| service.stable.clone())",
        "wants_task(draft, blue, slot, &before).and_then(|_| service.stable.clone()).filter(|_| !PLANTED)",
    ),
    bug(
        "a switch takes as long as its tasks are old",
        ROLLOUT,
        "Stage::Switching { since } | Stage::Keeping { since } => since.max(going_since),",
        "Stage::Switching { since } | Stage::Keeping { since } => if PLANTED { going_since } else { since.max(going_since) },",
    ),
    bug(
        "what is only tried gets requests",
        BOOK,
        "task.desired == DesiredState::Run && !self.is_dark(task);",
        "task.desired == DesiredState::Run && (PLANTED || !self.is_dark(task));",
    ),
    bug(
        "what was before the switch is stopped at once",
        SLOT,
        "Stage::Switching { .. } | Stage::Keeping { .. } => true,",
        "Stage::Switching { .. } | Stage::Keeping { .. } => !PLANTED,",
    ),
];
