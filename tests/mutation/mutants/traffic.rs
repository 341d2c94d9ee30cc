//! Bugs of load balancers, and what they have brought to light.

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
    bug(
        "a rollout that can spare what does not serve waits for what does",
        "coordinator/core/src/plan/rollout.rs",
        "old.sort_by_key(|slot| serves(draft.cluster.tasks_in(&service.id, slot)));",
        "old.sort_by_key(|slot| !PLANTED && serves(draft.cluster.tasks_in(&service.id, slot)));",
    ),
    bug(
        "an agent takes a container for not made because nobody has said that it was",
        "agent/core/src/hear.rs",
        "if is_open(done.as_ref(), outcome) {",
        "if !PLANTED && is_open(done.as_ref(), outcome) {",
    ),
];
