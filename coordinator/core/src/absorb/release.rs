//! Services and machines go back to what ran at a time, in one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::refresh::Refresh;
use model::release::{GoBack, PoolBack, ServiceBack};
use model::service::{Generation, Service, Verdict};

use super::{back_to, refresh, remembered, staying};
use crate::draft::Draft;
use crate::event::{PoolRefusal, Refusal, Reply, Target};

/// Does all of it, or refuses all of it: each part is looked at before anything is written.
pub(super) fn go_back(draft: &mut Draft<'_>, back: &GoBack) -> Result<Reply, Refusal> {
    if back.services.is_empty() && back.pools.is_empty() {
        return Err(Refusal::NothingElseRan(back.then));
    }
    let services = back.services.iter().map(|one| found(draft, one));
    let services = services.collect::<Result<Vec<_>, _>>()?;
    let mut named = BTreeSet::new();
    if let Some(twice) = back.services.iter().find(|one| !named.insert(&one.service)) {
        return Err(Refusal::NamedTwice(twice.service.clone()));
    }
    let pools = back.pools.iter().map(|one| begun(draft, one));
    let pools = pools.collect::<Result<Vec<_>, _>>().map_err(Refusal::Pool)?;
    let mut named = BTreeSet::new();
    if let Some(twice) = pools.iter().find(|refresh| !named.insert(&refresh.id)) {
        return Err(Refusal::Pool(PoolRefusal::Refreshing(twice.id.clone())));
    }
    let gone = services.into_iter().map(|(service, to)| {
        let number = back_to(draft, &service, &to, Verdict::Superseded);
        (service.id.clone(), number)
    });
    let gone = gone.collect();
    pools.into_iter().for_each(|one| refresh::start(draft, one));
    Ok(Reply::Deployed(gone))
}

/// The service, and the generation that it goes back to.
fn found(
    draft: &Draft<'_>,
    back: &ServiceBack,
) -> Result<(Arc<Service>, Arc<Generation>), Refusal> {
    let service = staying(draft, &back.service)?;
    if service.target.number != back.from {
        let (service, expected) = (back.service.clone(), back.from + 1);
        let would_be = draft.cluster.services().get(&service).map(|one| one.target.number + 1);
        return Err(Refusal::Overtaken { service, expected, would_be });
    }
    if !service.goes_back() {
        return Err(Refusal::RunsToEnd(back.service.clone()));
    }
    let found = remembered(draft, &service, back.to)?;
    Ok((service, found))
}

/// The refresh that takes a pool back.
fn begun(draft: &Draft<'_>, back: &PoolBack) -> Result<Refresh, PoolRefusal> {
    let target = Target::Blueprint(back.to.clone());
    let policy = refresh::for_the_way_back(draft.cluster, &back.pool);
    let refresh =
        refresh::begun(draft.cluster, &back.pool, ((&target, &policy, &[]), None), draft.now)?;
    if refresh.from != back.from {
        return Err(PoolRefusal::Overtaken(back.pool.clone()));
    }
    Ok(refresh)
}
