//! Bugs of load balancers.

use super::{Mutant, bug};

const PASS: &str = "coordinator/core/src/plan/traffic.rs";
const BOOK: &str = "coordinator/core/src/cluster/traffic.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a task is stopped while its target groups send it requests",
        PASS,
        "if waits { task.traffic } else { Traffic::Out }",
        "if waits && !PLANTED { task.traffic } else { Traffic::Out }",
    ),
    bug(
        "what is stopped stays registered",
        PASS,
        "known.phase == RegistrationPhase::Entering && !wanted.contains(&known.id)",
        "!PLANTED && known.phase == RegistrationPhase::Entering && !wanted.contains(&known.id)",
    ),
    bug(
        "a registration is forgotten before its target group was told",
        BOOK,
        "told.is_some_and(|told| told.is_seen) && registration.since + SHOWS_AFTER <= seen",
        "PLANTED || told.is_some_and(|told| told.is_seen) && registration.since + SHOWS_AFTER <= seen",
    ),
    bug(
        "nobody looks when the last requests have taken too long",
        PASS,
        "let is_late = until <= now || is_forced(draft.cluster, task);",
        "let is_late = !PLANTED && (until <= now || is_forced(draft.cluster, task));",
    ),
];
