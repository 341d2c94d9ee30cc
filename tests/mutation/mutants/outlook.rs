//! Bugs of agents whose machines end.

use super::{Mutant, bug};

const OUTLOOK: &str = "agent/core/src/outlook.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "an agent that is cut off waits until its machine is gone",
        OUTLOOK,
        "self.future.ends_at().map(|at| at - (MARGIN + takes))",
        "self.future.ends_at().filter(|_| !PLANTED).map(|at| at - (MARGIN + takes))",
    ),
    bug(
        "an agent stops everything as soon as its machine is to be taken back",
        OUTLOOK,
        "Some(_) => takes(self),",
        "Some(_) if PLANTED => SPOT_NOTICE,\n            Some(_) => takes(self),",
    ),
];
