//! The passes, in their order. None makes work for an earlier one, and none for that of another service: so each service
//! is taken through all of them before the next, and what no longer fits into a step costs nothing.

pub(crate) mod bake;
pub(crate) mod balance;
pub(crate) mod budget;
pub(crate) mod capacity;
mod collect;
pub(crate) mod condemn;
pub(crate) mod depend;
mod drain;
pub(crate) mod fetch;
pub(crate) mod hooks;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod leaving;
mod liveness;
pub(crate) mod place;
mod preempt;
pub(crate) mod preparing;
pub(crate) mod reconcile;
pub(crate) mod refresh;
mod returning;
pub(crate) mod rollout;
pub(crate) mod secret;
pub(crate) mod shrink;
pub(crate) mod slot;
pub(crate) mod traffic;
pub(crate) mod upkeep;

use std::cmp::Reverse;
use std::collections::BTreeSet;
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

    /// Leaves to the next step what this one has not begun with.
    fn stay(&self, draft: &mut Draft<'_>, service: &ServiceId) {
        match self {
            // It is due still.
            Self::All => {}
            Self::Slots(_) => self.put_off(draft, service),
        }
    }

    /// Leaves what did not fit into this step to the next.
    pub(crate) fn put_off(&self, draft: &mut Draft<'_>, service: &ServiceId) {
        match self {
            Self::All => draft.touch(service),
            Self::Slots(slots) => slots.iter().for_each(|slot| draft.touch_slot(service, slot)),
        }
    }
}

/// Plans every service whose time has come, and then what they lack.
pub(crate) fn plan(draft: &mut Draft<'_>) {
    bake::pass(draft);
    upkeep::pass(draft);
    plan_services(draft);
    capacity::pass(draft);
    secret::pass(draft);
}

fn plan_services(draft: &mut Draft<'_>) {
    liveness::pass(draft);
    condemn::pass(draft);
    refresh::pass(draft);
    shrink::pass(draft);
    balance::pass(draft);
    lease::pass(draft);
    go_round(draft);
    traffic::enter(draft);
}

/// A failed rollout changes its own target and ended tasks free room for those that wait: both touch services again.
/// Each touch follows a state that moved forward, so this ends; the bound only says so to the reader.
fn go_round(draft: &mut Draft<'_>) {
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        drain::pass(draft);
        preparing::pass(draft);
        hooks::pass(draft);
        traffic::pass(draft);
        let due = all_due(draft);
        if due.is_empty() {
            return;
        }
        for (service, scope) in &due {
            if draft.is_full() {
                scope.stay(draft, service);
                continue;
            }
            if matches!(scope, Scope::All) {
                draft.cluster.due.remove(service);
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

/// What is to be planned now, in the order in which services are given room: what matters more first, of equals what can only
/// be on this node or that, and then by id. Services stay due until their turn comes: most of a thousand that are deployed
/// at once find the step full.
fn all_due(draft: &mut Draft<'_>) -> Vec<(ServiceId, Scope)> {
    let now = draft.now;
    let touched = std::mem::take(&mut draft.cluster.touched).into_iter();
    let cluster = &*draft.cluster;
    let is_due = |id: &ServiceId| cluster.due.get(id).is_some_and(|at| *at <= now);
    let slots = touched.filter(|(id, _)| !is_due(id)).map(|(id, slots)| (id, Scope::Slots(slots)));
    let all = cluster.due.iter().filter(|(_, at)| **at <= now);
    let all = all.map(|(id, _)| (id.clone(), Scope::All));
    let mut scopes: Vec<(ServiceId, Scope)> = all.chain(slots).collect();
    scopes.sort_by(|(one, _), (other, _)| one.cmp(other));
    if cluster.has_classes() || !cluster.globals().is_empty() {
        scopes.sort_by_cached_key(|(id, _)| {
            (Reverse(cluster.priority(id)), !cluster.globals().contains(id))
        });
    }
    scopes
}
