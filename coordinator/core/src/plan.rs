//! The passes, in their order. None makes work for an earlier one, and none for that of another service: so each service
//! is taken through all of them before the next, and what no longer fits into a step costs nothing.

mod collect;
pub(crate) mod depend;
mod liveness;
pub(crate) mod place;
mod reconcile;
mod returning;
mod rollout;
pub(crate) mod slot;

use model::id::ServiceId;

use crate::draft::Draft;

/// Plans every service whose time has come.
pub(crate) fn plan(draft: &mut Draft<'_>) {
    // A failed rollout changes its own target and ended tasks free room for those that wait: both touch services again.
    // Each touch follows a state that moved forward, so this ends; the bound only says so to the reader.
    const ROUNDS: usize = 8;
    liveness::pass(draft);
    for _ in 0..ROUNDS {
        let scope = take_due(draft);
        if scope.is_empty() {
            return;
        }
        for service in &scope {
            if draft.is_full() {
                draft.touch(service);
                continue;
            }
            for pass in [rollout::pass, reconcile::pass, place::pass, collect::pass] {
                pass(draft, service);
            }
        }
        if draft.is_full() {
            return;
        }
    }
}

fn take_due(draft: &mut Draft<'_>) -> Vec<ServiceId> {
    let now = draft.now;
    let due: Vec<ServiceId> =
        draft.cluster.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
    for service in &due {
        draft.cluster.due.remove(service);
    }
    due
}
