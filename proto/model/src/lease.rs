//! Protection of work in flight: a task says that it is not to be stopped yet.

use std::time::Duration;

/// That tasks of a spec may take leases, and how long we bear them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// From when a task was told to stop until it is stopped whatever it holds: from 1 s to [`LEASE_LIMIT`]. No lease is longer.
    pub cap: Duration,
}

/// No lease is waited for any longer: two days, which is what ECS allows for the protection of a task.
pub const LEASE_LIMIT: Duration = Duration::from_secs(2 * 86_400);
