//! What keeps a refresh from beginning with another machine: that none of the windows of its pool is open.
//!
//! Only the way forward is held up. What leads back to what was there before is never: new machines that are bad do harm for as
//! long as they are there, and nobody has to be awake for it.

use std::time::Duration;

use model::refresh::{Refresh, RefreshPhase};
use model::schedule::{Opening, opening};
use model::time::Timestamp;

use crate::cluster::Cluster;

/// What keeps a refresh from beginning with another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pool: String,
    /// Until when; none when it is not known.
    pub(crate) until: Option<Timestamp>,
    /// The same as clocks of the window show it.
    clock: String,
}

/// What keeps the refresh from beginning with another machine now, if anything does.
pub(crate) fn held(cluster: &Cluster, refresh: &Refresh, now: Timestamp) -> Option<Held> {
    let goes_forward = match refresh.phase {
        RefreshPhase::Rolling { .. } => true,
        RefreshPhase::Making { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. }
        | RefreshPhase::Done { .. } => false,
    };
    if !goes_forward || refresh.policy.urgent.is_some() {
        return None;
    }
    let pool = cluster.pools().get(&refresh.id.pool)?;
    match opening(&pool.windows, now) {
        Opening::Open { .. } => None,
        Opening::Closed { at: until, clock } => {
            Some(Held { pool: pool.name.clone(), until, clock })
        }
    }
}

/// When the windows of its pool open or close next, if they do.
pub(crate) fn changes_at(
    cluster: &Cluster,
    refresh: &Refresh,
    now: Timestamp,
) -> Option<Timestamp> {
    match opening(&cluster.pools().get(&refresh.id.pool)?.windows, now) {
        Opening::Open { until } => until,
        Opening::Closed { at, .. } => at,
    }
}

impl Held {
    /// What it waits for, in the operator's words.
    pub(crate) fn note(&self, now: Timestamp) -> String {
        let Self { pool, until, clock } = self;
        let rest = until.map(|until| format!(", in {}", lasting(until.since(now))));
        format!("waits for the window of pool {pool}: {clock}{}", rest.unwrap_or_default())
    }
}

/// A time as an operator says it, rounded up to whole minutes.
fn lasting(duration: Duration) -> String {
    let minutes = duration.as_secs().div_ceil(60);
    let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        (_, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_the_two_largest_units_that_it_has() {
        let told = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(
            [59, 61, 3_600, 11_520, 90_000].map(told),
            ["1m", "2m", "1h 0m", "3h 12m", "1d 1h"]
        );
    }
}
