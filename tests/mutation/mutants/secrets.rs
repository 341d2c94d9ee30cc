//! Bugs of secrets.

use super::{DECIDE, Mutant, bug};

const VIEW: &str = "coordinator/core/src/view/secret.rs";
const ABSORB: &str = "coordinator/core/src/absorb/secret.rs";
const CLUSTER: &str = "coordinator/core/src/cluster/secrets.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a node is given the secrets of what runs elsewhere",
        VIEW,
        "if !is_there {",
        "if !PLANTED && !is_there {",
    ),
    bug(
        "a task that is to stop is given its secrets",
        VIEW,
        "if !runs {",
        "if !PLANTED && !runs {",
    ),
    bug(
        "a container does not wait for its secret",
        DECIDE,
        "if secret::missing(unit, index).is_some() {",
        "if !PLANTED && secret::missing(unit, index).is_some() {",
    ),
    bug(
        "a version is forgotten while a task has it",
        CLUSTER,
        "number == newest || self.pins(&secret.name, number) > 0;",
        "number == newest || !PLANTED && self.pins(&secret.name, number) > 0;",
    ),
    bug(
        "a secret that a service needs can be removed",
        ABSORB,
        "if !services.is_empty() {",
        "if !PLANTED && !services.is_empty() {",
    ),
];
