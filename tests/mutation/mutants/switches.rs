//! Bugs of services of which two generations are up as a whole. Those that take longer than a simulated trial lasts to do harm are
//! told by the stories `blue-green-and-a-lost-node` and `blue-green-by-hand`.

use super::{Mutant, bug};

const BOOK: &str = "coordinator/core/src/cluster/traffic.rs";
const SLOT: &str = "coordinator/core/src/plan/slot.rs";

pub(super) const MUTANTS: &[Mutant] = &[
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
