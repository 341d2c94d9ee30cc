//! Pools are refreshed with what a bake has published that began by itself, where the recipe says so: under their windows, and
//! while nothing is frozen, as refreshes are that somebody begins.

use std::sync::Arc;
use std::time::Duration;

use model::bake::{Spread, Upkeep};
use model::refresh::{Refresh, RefreshId, RefreshPolicy};
use model::time::Timestamp;

use crate::absorb::refresh;
use crate::cluster::{Change, Cluster};
use crate::event::{PoolRefusal, Target};

/// A pool that can not be refreshed now is tried again so much later: mostly another refresh of it is under way.
const AGAIN: Duration = Duration::from_secs(60);

/// When pools that are still to be refreshed are tried again.
pub(super) fn again(upkeep: &Upkeep, now: Timestamp) -> Option<Timestamp> {
    upkeep.spreads.as_ref().filter(|_| !upkeep.is_paused).map(|_| now + AGAIN)
}

/// What is to be written next, for the first pool for which something can be: the number of its refresh, the refresh, and that
/// it is there.
pub(super) fn next_change(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Option<Change> {
    let spread = upkeep.spreads.as_ref().filter(|_| !upkeep.is_paused)?;
    let newest = cluster.newest_image(&upkeep.recipe.name);
    // What was published since, or taken back, is an operator's.
    if newest.is_none_or(|(image, _)| image.id != spread.ami) {
        return Some(put(upkeep, None));
    }
    spread.pools.iter().find_map(|(pool, number)| of_pool(cluster, upkeep, (pool, *number, now)))
}

fn put(upkeep: &Upkeep, spreads: Option<Spread>) -> Change {
    let spreads = spreads.filter(|spread| !spread.pools.is_empty());
    Change::PutUpkeep(Arc::new(Upkeep { spreads, ..upkeep.clone() }))
}

fn of_pool(
    cluster: &Cluster,
    upkeep: &Upkeep,
    (pool, number, now): (&String, Option<u64>, Timestamp),
) -> Option<Change> {
    let mut spread = upkeep.spreads.clone()?;
    let id = number.map(|number| RefreshId { pool: pool.clone(), number });
    if id.as_ref().is_some_and(|id| cluster.refreshes().contains_key(id)) {
        spread.pools.remove(pool);
        return Some(put(upkeep, Some(spread)));
    }
    let refresh: Refresh = match begun(cluster, (pool, &spread), now) {
        Ok(refresh) => refresh,
        Err(PoolRefusal::None(_)) => {
            spread.pools.remove(pool);
            return Some(put(upkeep, Some(spread)));
        }
        Err(_) if number.is_none() => return None,
        // Somebody was faster: it is numbered anew when that is over.
        Err(_) => {
            spread.pools.insert(pool.clone(), None);
            return Some(put(upkeep, Some(spread)));
        }
    };
    if number == Some(refresh.id.number) {
        return Some(Change::PutRefresh(Arc::new(refresh)));
    }
    spread.pools.insert(pool.clone(), Some(refresh.id.number));
    Some(put(upkeep, Some(spread)))
}

fn begun(
    cluster: &Cluster,
    (pool, spread): (&str, &Spread),
    now: Timestamp,
) -> Result<Refresh, PoolRefusal> {
    let target = Target::Ami(spread.ami.to_string());
    refresh::begun(cluster, pool, ((&target, &RefreshPolicy::default(), &[]), None), now)
}
