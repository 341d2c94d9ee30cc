//! Bugs of leases.

use super::{DECIDE, Mutant, WORKLOAD, bug};

const LEASE: &str = "coordinator/core/src/plan/lease.rs";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "a lease is nothing to wait for",
        DECIDE,
        "if !is_ending && lease::waits(unit, now) {",
        "if !PLANTED && !is_ending && lease::waits(unit, now) {",
    ),
    bug(
        "a lease is forgotten when the agent starts anew",
        WORKLOAD,
        "unit.lease = saved.lease;",
        "unit.lease = saved.lease.filter(|_| !PLANTED);",
    ),
    bug(
        "who holds a lease is stopped by force at once",
        LEASE,
        "is_some_and(|until| until <= now);",
        "is_some_and(|until| PLANTED || until <= now);",
    ),
    bug(
        "a lease is waited for without end",
        LEASE,
        "late.iter().for_each(|task| force(draft, task));",
        "late.iter().for_each(|task| if !PLANTED { force(draft, task) });",
    ),
];
