//! What ran when: of each service which generation, and from what the machines of each pool were launched.
//!
//! Nothing is kept for this. It follows from the generations and refreshes that are remembered anyway, so what they have
//! forgotten is not known here either, and is called so.

use std::sync::Arc;

use model::id::ServiceId;
use model::refresh::{Blueprint, Refresh, RefreshEnd, RefreshPhase};
use model::service::{Generation, Service, ServicePhase, Verdict};
use model::time::Timestamp;

use crate::cluster::Cluster;

/// What is known of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then<T> {
    /// This ran.
    Was(T),
    /// Nothing of it that was healthy.
    Nothing,
    /// More has happened since than is remembered.
    Forgotten,
}

impl<T> Then<T> {
    /// What ran, if that is known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Was(what) => Some(what),
            Self::Nothing | Self::Forgotten => None,
        }
    }
}

/// What a service ran at a time, and what it is to run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanService {
    /// Which.
    pub id: ServiceId,
    /// The generation that had last been healthy in every slot by then.
    pub then: Then<Arc<Generation>>,
    /// Its target.
    pub now: Arc<Generation>,
}

impl RanService {
    /// The generation to go back to, if other tasks ran then.
    #[must_use]
    pub fn way_back(&self) -> Option<&Arc<Generation>> {
        self.then.known().filter(|then| then.template != self.now.template)
    }
}

/// What the machines of a pool were launched from at a time, and what its group launches now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanPool {
    /// Its name.
    pub pool: String,
    /// What they were launched from. While they were being replaced: what they were launched from before.
    pub then: Then<Blueprint>,
    /// None when it was not looked at yet.
    pub now: Option<Blueprint>,
}

impl RanPool {
    /// What to go back to, if machines were launched from something else then.
    #[must_use]
    pub fn way_back(&self) -> Option<&Blueprint> {
        self.then.known().filter(|then| self.now.as_ref().is_some_and(|now| now != *then))
    }
}

/// What began to run at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Began {
    /// A generation of a service. The time is when it was accepted: its tasks were exchanged after that.
    Service(ServiceId, Arc<Generation>),
    /// The machines of a pool, by a refresh. The time is when it was through.
    Pool(Arc<Refresh>),
}

/// Of each service and each pool what ran at a time.
#[must_use]
pub fn ran_at(cluster: &Cluster, then: Timestamp) -> (Vec<RanService>, Vec<RanPool>) {
    let services = cluster.services().values().filter(|service| service.goes_back());
    let services = services.map(|service| RanService {
        id: service.id.clone(),
        then: service_at(service, then),
        now: Arc::clone(&service.target),
    });
    let pools = cluster.pools().keys().map(|pool| {
        let now = cluster.group(pool).and_then(|group| group.blueprint.clone());
        let then = pool_at(cluster, pool, then).or_now(now.as_ref());
        RanPool { pool: pool.clone(), then, now }
    });
    (services.collect(), pools.collect())
}

/// All that is remembered, the newest first. A generation that only has another number of replicas is none.
#[must_use]
pub fn releases(cluster: &Cluster) -> Vec<(Timestamp, Began)> {
    let of_service = |service: &Arc<Service>| {
        let mut held: Vec<Arc<Generation>> = held(service).cloned().collect();
        held.sort_by_key(|generation| generation.number);
        held.dedup_by_key(|generation| generation.template);
        let began = held.into_iter().map(|generation| {
            (generation.accepted_at, Began::Service(service.id.clone(), generation))
        });
        began.collect::<Vec<_>>()
    };
    let services = cluster.services().values().filter(|service| service.goes_back());
    let services = services.flat_map(of_service);
    let pools = cluster
        .refreshes()
        .values()
        .filter_map(|refresh| through_at(refresh).map(|at| (at, Began::Pool(Arc::clone(refresh)))));
    let mut all: Vec<_> = services.chain(pools).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all
}

/// The generations that were healthy in every slot, in no order; one may be there twice.
fn held(service: &Service) -> impl Iterator<Item = &Arc<Generation>> {
    let past = service.history.iter().filter(|past| past.verdict == Verdict::Stable);
    let target = Some(&service.target).filter(|_| service.phase == ServicePhase::Steady);
    past.map(|past| &past.generation).chain(&service.stable).chain(target)
}

fn service_at(service: &Service, then: Timestamp) -> Then<Arc<Generation>> {
    let by_then = held(service).filter(|generation| generation.accepted_at <= then);
    if let Some(newest) = by_then.max_by_key(|generation| generation.number) {
        return Then::Was(Arc::clone(newest));
    }
    let past = service.history.iter().map(|past| &past.generation);
    let first = past.chain([&service.target]).map(|known| known.number).min();
    if first == Some(1) { Then::Nothing } else { Then::Forgotten }
}

fn pool_at(cluster: &Cluster, pool: &str, then: Timestamp) -> Then<Blueprint> {
    let mut refreshes = cluster.refreshes_of(pool).peekable();
    let Some(first) = refreshes.peek().map(|first| (**first).clone()) else {
        return Then::Nothing;
    };
    let through = refreshes.filter(|refresh| through_at(refresh).is_some_and(|at| at <= then));
    match through.last() {
        Some(refresh) => Then::Was(refresh.to.clone()),
        None if first.id.number == 1 || first.since <= then => Then::Was(first.from.clone()),
        None => Then::Forgotten,
    }
}

impl Then<Blueprint> {
    /// The machines of a pool that was never refreshed are as they always were, as far as anybody here knows.
    fn or_now(self, now: Option<&Blueprint>) -> Self {
        match (self, now) {
            (Self::Nothing, Some(now)) => Self::Was(now.clone()),
            (then @ (Self::Was(_) | Self::Nothing | Self::Forgotten), _) => then,
        }
    }
}

/// When the machines of a refresh were new, if they were in the end.
fn through_at(refresh: &Refresh) -> Option<Timestamp> {
    match refresh.phase {
        RefreshPhase::Done { end: RefreshEnd::Refreshed, at } => Some(at),
        RefreshPhase::Done {
            end: RefreshEnd::RolledBack { .. } | RefreshEnd::Aborted { .. },
            ..
        }
        | RefreshPhase::Making { .. }
        | RefreshPhase::Rolling { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. } => None,
    }
}
