//! Bugs of refreshes.

use super::{Mutant, bug};

const SCENE: &str = "coordinator/core/src/plan/refresh/scene.rs";
const ROOT: &str = "coordinator/core/src/plan/refresh/scene/root.rs";
const HOLD: &str = "coordinator/core/src/plan/refresh/hold.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a machine boots anew while its group is told to heal again",
        ROOT,
        "is_ours && self.group.suspended.contains(HEALING) && !self.is_disturbed()",
        "!PLANTED && is_ours && self.group.suspended.contains(HEALING) && !self.is_disturbed()",
    ),
    bug(
        "a machine is ended while tasks run there",
        SCENE,
        "(Some(_), _) => one.is_leaving && one.is_drained(),",
        "(Some(_), _) => one.is_leaving && (PLANTED || one.is_drained()),",
    ),
    bug(
        "a group wants one machine less for each that is replaced",
        SCENE,
        "let keep = self.wanted_after(gone).max(lacks);",
        "let keep = if PLANTED { 0 } else { self.wanted_after(gone).max(lacks) };",
    ),
    bug(
        "a group is not told to move machines between zones again",
        SCENE,
        "if refresh.before.rebalanced && is_suspended == is_restoring {",
        "if refresh.before.rebalanced && !(PLANTED && is_restoring) && is_suspended == is_restoring {",
    ),
    bug(
        "a refresh replaces machines outside of the windows of its pool",
        SCENE,
        "if self.held.is_none() {",
        "if PLANTED || self.held.is_none() {",
    ),
    bug(
        "a group launches from the new version before the window has opened",
        SCENE,
        "self.held.is_some() && !self.is_told()",
        "!PLANTED && self.held.is_some() && !self.is_told()",
    ),
    bug(
        "machines are replaced although an operator has frozen them",
        HOLD,
        "cluster.freeze().filter(|freeze| freeze.holds(now))?;",
        "cluster.freeze().filter(|freeze| !PLANTED && freeze.holds(now))?;",
    ),
];
