//! Bugs of pools that are made larger and smaller.

use super::{Mutant, bug};

const SHRINK: &str = "coordinator/core/src/plan/shrink.rs";
const JUDGE: &str = "coordinator/core/src/plan/shrink/judge.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a machine that nothing needs is ended while tasks leave it",
        SHRINK,
        "DrainPhase::Moving | DrainPhase::Forced { .. } => {}",
        "DrainPhase::Moving | DrainPhase::Forced { .. } => if PLANTED { end(draft, &id); },",
    ),
    bug(
        "a pool is made smaller than it may be",
        JUDGE,
        "if there.min(group.desired as usize) <= least {",
        "if !PLANTED && there.min(group.desired as usize) <= least {",
    ),
    bug(
        "a machine that is to end is forgotten before its group has ended it",
        SHRINK,
        "draft.write(Change::PutPool(Arc::new(Pool { ending, asked, ..(*pool).clone() })));",
        "let ending = if PLANTED { pool.ending.clone() } else { ending };\n    draft.write(Change::PutPool(Arc::new(Pool { ending, asked, ..(*pool).clone() })));",
    ),
];
