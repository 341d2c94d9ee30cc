//! What keeps a refresh from beginning with another machine: that refreshes of other pools come first, that an operator has all of
//! them stand still, or that none of the windows of its pool is open.
//!
//! Only the way forward is held up. What leads back to what was there before is never: new machines that are bad do harm for as
//! long as they are there, and nobody has to be awake for it.

use std::collections::BTreeSet;
use std::time::Duration;

use model::refresh::{Refresh, RefreshEnd, RefreshId, RefreshPhase};
use model::schedule::{Opening, opening};
use model::time::Timestamp;

use crate::cluster::Cluster;

/// What keeps a refresh from beginning with another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    why: Why,
    /// Until when; none when it is not known.
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// An instance refresh that is not ours replaces machines of this pool.
    Foreign(String),
    /// The refresh of another pool is not through yet.
    After(RefreshId),
    /// An operator has all of them stand still, for this reason.
    Frozen(String),
    /// No window of this pool is open; how clocks of the window that opens next show that.
    Window { pool: String, clock: String },
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
    if !goes_forward {
        return None;
    }
    // Two that replace machines at once would miss twice as many; that is no matter of time, and no reason is good enough for it.
    let foreign = cluster.group(&refresh.id.pool).and_then(|group| group.foreign.clone());
    if let Some(foreign) = foreign {
        return Some(Held { why: Why::Foreign(foreign), until: None });
    }
    if refresh.policy.urgent.is_some() {
        return None;
    }
    let first = || after(cluster, refresh).map(|id| Held { why: Why::After(id), until: None });
    let window = || outside_of_windows(cluster, &refresh.id.pool, now);
    first().or_else(|| frozen(cluster, now)).or_else(window)
}

/// The first of those that come before it and that is not through.
fn after(cluster: &Cluster, refresh: &Refresh) -> Option<RefreshId> {
    still_first(cluster, refresh).pop_first()
}

/// Those that come before it and are not through.
pub(crate) fn still_first(cluster: &Cluster, refresh: &Refresh) -> BTreeSet<RefreshId> {
    let is_through =
        |id: &&RefreshId| cluster.refreshes().get(*id).is_some_and(|one| one.is_through());
    refresh.after.iter().filter(|id| !is_through(id)).cloned().collect()
}

fn frozen(cluster: &Cluster, now: Timestamp) -> Option<Held> {
    let freeze = cluster.freeze().filter(|freeze| freeze.holds(now))?;
    Some(Held { why: Why::Frozen(freeze.why.clone()), until: freeze.until })
}

fn outside_of_windows(cluster: &Cluster, pool: &str, now: Timestamp) -> Option<Held> {
    match opening(&cluster.pools().get(pool)?.windows, now) {
        Opening::Open { .. } => None,
        Opening::Closed { at: until, clock } => {
            Some(Held { why: Why::Window { pool: pool.to_owned(), clock }, until })
        }
    }
}

/// Why a refresh that waits for others will never begin, if that is so: one of them has not ended as it was meant to.
pub(crate) fn in_vain(cluster: &Cluster, refresh: &Refresh) -> Option<String> {
    let waits = match refresh.phase {
        RefreshPhase::Making { .. } | RefreshPhase::Rolling { .. } => {
            refresh.policy.urgent.is_none()
        }
        RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. }
        | RefreshPhase::Done { .. } => false,
    };
    refresh.after.iter().filter(|_| waits).find_map(|id| {
        let how = failed(cluster.refreshes().get(id).map(AsRef::as_ref))?;
        Some(format!("{id}, which comes before it, was {how}"))
    })
}

/// How a refresh has ended that did not end as it was meant to.
pub(crate) fn failed(refresh: Option<&Refresh>) -> Option<String> {
    let Some(refresh) = refresh else { return Some("forgotten with its pool".to_owned()) };
    match &refresh.phase {
        RefreshPhase::Done { end: RefreshEnd::RolledBack { why }, .. } => {
            Some(format!("rolled back: {why}"))
        }
        RefreshPhase::Done { end: RefreshEnd::Aborted { why }, .. } => {
            Some(format!("aborted: {why}"))
        }
        RefreshPhase::Done { end: RefreshEnd::Refreshed, .. }
        | RefreshPhase::Making { .. }
        | RefreshPhase::Rolling { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. } => None,
    }
}

/// When time alone holds it up or lets it go on next, if it ever does.
pub(crate) fn changes_at(
    cluster: &Cluster,
    refresh: &Refresh,
    now: Timestamp,
) -> Option<Timestamp> {
    let windows = cluster.pools().get(&refresh.id.pool).map(|pool| opening(&pool.windows, now));
    let window = windows.and_then(|opening| match opening {
        Opening::Open { until } => until,
        Opening::Closed { at, .. } => at,
    });
    let thaw = frozen(cluster, now).and_then(|held| held.until);
    window.into_iter().chain(thaw).min()
}

impl Held {
    /// What it waits for, in the operator's words.
    pub(crate) fn note(&self, now: Timestamp) -> String {
        let rest = self.until.map(|until| format!(", in {}", lasting(until.since(now))));
        let rest = rest.unwrap_or_default();
        match &self.why {
            Why::Foreign(what) => format!("waits for the end of {what}, which is not ours"),
            Why::After(id) => format!("waits for {id} to be through"),
            Why::Frozen(why) if self.until.is_some() => {
                format!("waits for the end of the freeze ({why}){rest}")
            }
            Why::Frozen(why) => {
                format!("waits until refreshes are unfrozen ({why})")
            }
            Why::Window { pool, clock } => {
                format!("waits for the window of pool {pool}: {clock}{rest}")
            }
        }
    }
}

/// A time as an operator says it, rounded up to whole minutes.
pub(crate) fn lasting(duration: Duration) -> String {
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
