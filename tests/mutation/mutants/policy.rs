//! Bugs of what containers may do.

use super::{Mutant, bug};

const LEDGER: &str = "coordinator/core/src/cluster/ledger.rs";
const FLEET: &str = "coordinator/core/src/cluster/fleet.rs";
const PROGRESS: &str = "coordinator/core/src/plan/job/progress.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a pool that takes only what is strict takes everything",
        LEDGER,
        "profile >= self.profile",
        "PLANTED || profile >= self.profile",
    ),
    bug(
        "a pool that takes other tasks than before keeps its place in every order",
        FLEET,
        "if !changed.is_empty() {",
        "if !PLANTED && !changed.is_empty() {",
    ),
    bug(
        "a run has a place on a node that does not take it until its images are known",
        PROGRESS,
        "&& ledger.takes(run.generation.spec.task.profile)",
        "&& (PLANTED || ledger.takes(run.generation.spec.task.profile))",
    ),
];
