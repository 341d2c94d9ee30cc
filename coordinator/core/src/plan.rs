//! The passes, in their order. None makes work for an earlier one, and none for that of another service: so each service
//! is taken through all of them before the next, and what no longer fits into a step costs nothing.

pub(crate) mod balance;
pub(crate) mod budget;
mod collect;
pub(crate) mod depend;
mod drain;
pub(crate) mod fetch;
pub(crate) mod job;
pub(crate) mod leaving;
mod liveness;
pub(crate) mod place;
mod preempt;
pub(crate) mod preparing;
pub(crate) mod reconcile;
mod returning;
pub(crate) mod rollout;
pub(crate) mod slot;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::task::Task;

use crate::cluster::Cluster;
use crate::draft::Draft;

/// What of a service is planned.
#[derive(Debug)]
pub(crate) enum Scope {
    All,
    /// Nothing but these slots can have something to do.
    Slots(BTreeSet<Slot>),
}

impl Scope {
    /// The tasks of each slot that is planned.
    pub(crate) fn slots<'a>(
        &'a self,
        cluster: &'a Cluster,
        service: &'a ServiceId,
    ) -> Box<dyn Iterator<Item = &'a [Arc<Task>]> + 'a> {
        match self {
            Self::All => Box::new(cluster.slots_of(service).map(|(_, tasks)| tasks)),
            Self::Slots(slots) => {
                Box::new(slots.iter().map(|slot| cluster.tasks_in(service, slot)))
            }
        }
    }

    /// The tasks that are planned.
    pub(crate) fn tasks<'a>(
        &'a self,
        cluster: &'a Cluster,
        service: &'a ServiceId,
    ) -> impl Iterator<Item = &'a Arc<Task>> {
        self.slots(cluster, service).flatten()
    }

    /// Leaves what did not fit into this step to the next.
    pub(crate) fn put_off(&self, draft: &mut Draft<'_>, service: &ServiceId) {
        match self {
            Self::All => draft.touch(service),
            Self::Slots(slots) => slots.iter().for_each(|slot| draft.touch_slot(service, slot)),
        }
    }
}

/// Plans every service whose time has come.
pub(crate) fn plan(draft: &mut Draft<'_>) {
    // A failed rollout changes its own target and ended tasks free room for those that wait: both touch services again.
    // Each touch follows a state that moved forward, so this ends; the bound only says so to the reader.
    const ROUNDS: usize = 8;
    liveness::pass(draft);
    balance::pass(draft);
    for _ in 0..ROUNDS {
        drain::pass(draft);
        preparing::pass(draft);
        let due = take_due(draft);
        if due.is_empty() {
            return;
        }
        for (service, scope) in &due {
            if draft.is_full() {
                scope.put_off(draft, service);
                continue;
            }
            if let Some(service) = job::find(draft.cluster, service) {
                job::pass(draft, &service);
            } else {
                rollout::pass(draft, service);
                reconcile::pass(draft, service, scope);
            }
            place::pass(draft, service, scope);
            collect::pass(draft, service, scope);
        }
        if draft.is_full() {
            return;
        }
    }
}

/// The services whose time has come, in the order in which they are given room: what matters more first, and of equals what
/// can only be on this node or that.
fn take_due(draft: &mut Draft<'_>) -> Vec<(ServiceId, Scope)> {
    let now = draft.now;
    let due = draft.cluster.due.iter().filter(|(_, at)| **at <= now);
    let due: Vec<ServiceId> = due.map(|(id, _)| id.clone()).collect();
    let slots = std::mem::take(&mut draft.cluster.touched).into_iter();
    let mut scopes: BTreeMap<ServiceId, Scope> =
        slots.map(|(id, slots)| (id, Scope::Slots(slots))).collect();
    for id in due {
        draft.cluster.due.remove(&id);
        scopes.insert(id, Scope::All);
    }
    let mut scopes: Vec<_> = scopes.into_iter().collect();
    let cluster = &*draft.cluster;
    scopes.sort_by_cached_key(|(id, _)| {
        (Reverse(cluster.priority(id)), !cluster.globals().contains(id))
    });
    scopes
}
