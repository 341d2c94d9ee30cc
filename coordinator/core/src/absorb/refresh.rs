//! What is heard of refreshes: what operators want of them, and what became of what the cloud was asked for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::fleet::Group;
use model::refresh::{
    Before, Blueprint, Freeze, Refresh, RefreshEnd, RefreshId, RefreshPhase, RefreshPolicy,
};
use model::rollout::Steering;
use model::time::Timestamp;

use crate::cluster::{Change, Cluster};
use crate::command::{Key, SETTLES};
use crate::draft::Draft;
use crate::event::{NoOrder, PoolRefusal, RefreshEvent, Refusal, Reply, Target};
use crate::plan::refresh::{self, HEALING, REBALANCING};

/// Why a refresh is ended that an operator ends.
const OPERATOR: &str = "an operator wanted it";
/// When no version of a template can be made in so many tries, none will be.
const MAKE_TRIES: u32 = 5;

/// Hears what an operator wants.
pub(super) fn absorb(draft: &mut Draft<'_>, event: &RefreshEvent) -> Result<Reply, Refusal> {
    draft.cluster.fleet.refresh_at = None;
    let heard = match event {
        RefreshEvent::Start { pool, target, policy, expect, after } => {
            let wanted = (target, policy, after.as_slice());
            begun(draft.cluster, pool, (wanted, *expect), draft.now)
                .map(|refresh| put(draft, refresh))
        }
        RefreshEvent::Freeze { why, until } => freeze(draft, why, *until),
        RefreshEvent::Unfreeze => {
            if draft.cluster.freeze().is_some() {
                draft.write(Change::SetFreeze(None));
            }
            Ok(Reply::Noted)
        }
        RefreshEvent::Steer { pool, steering } => steer(draft, pool, *steering),
        RefreshEvent::Override { pool, reason } => hurry(draft, pool, reason),
        RefreshEvent::RollBack { pool } => roll_back(draft, pool),
    };
    heard.map_err(Refusal::Pool)
}

/// Begins with a refresh that can begin.
pub(super) fn start(draft: &mut Draft<'_>, refresh: Refresh) {
    draft.cluster.fleet.refresh_at = None;
    put(draft, refresh);
}

fn put(draft: &mut Draft<'_>, refresh: Refresh) -> Reply {
    draft.write(Change::PutRefresh(Arc::new(refresh)));
    Reply::Noted
}

fn open(cluster: &Cluster, pool: &str) -> Option<Arc<Refresh>> {
    cluster.open_refreshes().find(|refresh| refresh.id.pool == pool).cloned()
}

/// What a refresh is to do: where to, how, and after which of other pools.
type Wanted<'a> = (&'a Target, &'a RefreshPolicy, &'a [String]);

/// A refresh of a pool as it begins, if it can.
pub(crate) fn begun(
    cluster: &Cluster,
    pool: &str,
    ((target, policy, after), expect): (Wanted<'_>, Option<u64>),
    now: Timestamp,
) -> Result<Refresh, PoolRefusal> {
    policy.check().map_err(PoolRefusal::Policy)?;
    if !cluster.pools().contains_key(pool) {
        return Err(PoolRefusal::None(pool.to_owned()));
    }
    if let Some(refresh) = open(cluster, pool) {
        return Err(PoolRefusal::Refreshing(refresh.id.clone()));
    }
    let none = || PoolRefusal::NoBlueprint(pool.to_owned());
    let group = cluster.group(pool).ok_or_else(none)?.clone();
    let from = group.blueprint.clone().filter(|from| !from.0.is_empty()).ok_or_else(none)?;
    if let Some(foreign) = group.foreign.clone().filter(|_| !policy.takes_over) {
        return Err(PoolRefusal::Foreign(pool.to_owned(), foreign));
    }
    if expect.is_some_and(|expect| expect != refresh::fingerprint(cluster, pool)) {
        return Err(PoolRefusal::Overtaken(pool.to_owned()));
    }
    let (to, phase) = match target {
        Target::Ami(ami) => (Blueprint::default(), RefreshPhase::Making { ami: ami.clone() }),
        Target::Blueprint(to) => {
            if !to.0.keys().eq(from.0.keys()) {
                return Err(PoolRefusal::OtherTemplates(pool.to_owned(), from));
            }
            let mut members = cluster.instances().values();
            let is_stale = members.any(|one| one.pool.as_deref() == Some(pool) && !to.made(one));
            if from == *to && !is_stale {
                return Err(PoolRefusal::Fresh(pool.to_owned()));
            }
            (to.clone(), RefreshPhase::Rolling { stage: 0, watched_since: None })
        }
    };
    let after = after.iter().map(|other| comes_after(cluster, pool, other));
    let after = after.collect::<Result<_, _>>()?;
    let last = cluster.refreshes_of(pool).last().cloned();
    let number = last.as_ref().map_or(0, |last| last.id.number) + 1;
    // What the cloud says may lag behind what it was told by the one before.
    let settled = last.and_then(|last| match last.phase {
        RefreshPhase::Done { at, .. } => (at + SETTLES > now).then_some(last.size),
        RefreshPhase::Making { .. }
        | RefreshPhase::Rolling { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. } => None,
    });
    let id = RefreshId { pool: pool.to_owned(), number };
    Ok(Refresh {
        id,
        since: now,
        from,
        to,
        policy: policy.clone(),
        size: settled.unwrap_or(group.desired),
        before: before(&group),
        after,
        phase,
        paused_at: None,
        skipped: BTreeMap::new(),
        failed: BTreeSet::new(),
        ending: BTreeSet::new(),
        roots: BTreeMap::new(),
    })
}

/// The refresh of another pool that has to be through before: the one that is under way, or its last.
fn comes_after(cluster: &Cluster, pool: &str, other: &str) -> Result<RefreshId, PoolRefusal> {
    let refused = |why| PoolRefusal::After(pool.to_owned(), other.to_owned(), why);
    if pool == other {
        return Err(refused(NoOrder::Itself));
    }
    let last = cluster.refreshes_of(other).last().ok_or_else(|| refused(NoOrder::None))?;
    match refresh::hold::failed(Some(last)) {
        Some(how) => Err(refused(NoOrder::Failed(how))),
        None => Ok(last.id.clone()),
    }
}

/// No machine is replaced any more, but where there is a reason to.
fn freeze(
    draft: &mut Draft<'_>,
    why: &str,
    until: Option<Timestamp>,
) -> Result<Reply, PoolRefusal> {
    let freeze = Freeze { why: why.to_owned(), since: draft.now, until };
    if let Some(until) = until.filter(|_| !freeze.holds(draft.now)) {
        return Err(PoolRefusal::FreezeOver(until));
    }
    draft.write(Change::SetFreeze(Some(Arc::new(freeze))));
    Ok(Reply::Noted)
}

/// What of a group is changed, as it is now.
fn before(group: &Group) -> Before {
    let does = |process: &str| !group.suspended.contains(process);
    Before { rebalanced: does(REBALANCING), heals: does(HEALING), max: None }
}

fn steer(draft: &mut Draft<'_>, pool: &str, steering: Steering) -> Result<Reply, PoolRefusal> {
    let refresh =
        open(draft.cluster, pool).ok_or_else(|| PoolRefusal::NotRefreshing(pool.to_owned()))?;
    let known = (*refresh).clone();
    match (steering, &refresh.phase) {
        (Steering::Pause, _) => {
            let paused_at = known.paused_at.or(Some(draft.now));
            Ok(put(draft, Refresh { paused_at, ..known }))
        }
        (Steering::Resume, _) => Ok(put(draft, Refresh { paused_at: None, ..known })),
        (Steering::Promote, RefreshPhase::Rolling { stage, watched_since: Some(_) }) => {
            let phase = promoted(draft, *stage, &known);
            Ok(put(draft, Refresh { phase, ..known }))
        }
        (Steering::Promote, _) => Err(PoolRefusal::NothingToPromote(known.id)),
        (Steering::Abort, RefreshPhase::Restoring { .. }) => Ok(Reply::Noted),
        (Steering::Abort, _) => {
            refresh::abort(draft, &known, OPERATOR);
            Ok(Reply::Noted)
        }
    }
}

/// It waits for no window, no end of a freeze and no other refresh from now on.
fn hurry(draft: &mut Draft<'_>, pool: &str, reason: &str) -> Result<Reply, PoolRefusal> {
    let refresh =
        open(draft.cluster, pool).ok_or_else(|| PoolRefusal::NotRefreshing(pool.to_owned()))?;
    let policy = RefreshPolicy { urgent: Some(reason.to_owned()), ..refresh.policy.clone() };
    policy.check().map_err(PoolRefusal::Policy)?;
    Ok(put(draft, Refresh { policy, ..(*refresh).clone() }))
}

/// The machines that are watched have been watched for long enough.
fn promoted(draft: &Draft<'_>, stage: usize, refresh: &Refresh) -> RefreshPhase {
    let hold = refresh.policy.hold;
    let since =
        draft.now.as_millis().saturating_sub(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
    let watched_since = Some(Timestamp::from_millis(since));
    RefreshPhase::Rolling { stage, watched_since }
}

fn roll_back(draft: &mut Draft<'_>, pool: &str) -> Result<Reply, PoolRefusal> {
    if !draft.cluster.pools().contains_key(pool) {
        return Err(PoolRefusal::None(pool.to_owned()));
    }
    if let Some(refresh) = open(draft.cluster, pool) {
        return match &refresh.phase {
            RefreshPhase::Making { .. } => {
                refresh::abort(draft, &refresh, OPERATOR);
                Ok(Reply::Noted)
            }
            RefreshPhase::Rolling { .. }
            | RefreshPhase::Restoring {
                end: RefreshEnd::Refreshed | RefreshEnd::Aborted { .. },
                ..
            } => {
                refresh::turn_back(draft, &refresh, OPERATOR.to_owned());
                Ok(Reply::Noted)
            }
            RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { end: RefreshEnd::RolledBack { .. }, .. }
            | RefreshPhase::Done { .. } => Ok(Reply::Noted),
        };
    }
    let last = draft.cluster.refreshes_of(pool).last().cloned();
    let ended = |refresh: &Arc<Refresh>| match &refresh.phase {
        RefreshPhase::Done { end: RefreshEnd::Refreshed | RefreshEnd::Aborted { .. }, .. } => true,
        RefreshPhase::Done { end: RefreshEnd::RolledBack { .. }, .. }
        | RefreshPhase::Making { .. }
        | RefreshPhase::Rolling { .. }
        | RefreshPhase::RollingBack { .. }
        | RefreshPhase::Restoring { .. } => false,
    };
    let last = last.filter(ended).ok_or_else(|| PoolRefusal::NothingBefore(pool.to_owned()))?;
    let policy = for_the_way_back(draft.cluster, pool);
    let target = Target::Blueprint(last.from.clone());
    let wanted = ((&target, &policy, &[][..]), None);
    begun(draft.cluster, pool, wanted, draft.now).map(|refresh| put(draft, refresh))
}

/// How machines are replaced by such as were there before: as they were replaced last. That needs no canary, and waits for
/// nothing.
pub(super) fn for_the_way_back(cluster: &Cluster, pool: &str) -> RefreshPolicy {
    let last = cluster.refreshes_of(pool).last().map(|last| last.policy.clone());
    let urgent = Some("what was there before comes back".to_owned());
    RefreshPolicy { stages: Vec::new(), urgent, ..last.unwrap_or_default() }
}

/// The versions of a refresh are made.
pub(super) fn made(draft: &mut Draft<'_>, id: &RefreshId, to: &Blueprint) {
    draft.cluster.fleet.refresh_at = None;
    let Some(refresh) = draft.cluster.refreshes().get(id).cloned() else { return };
    if let RefreshPhase::Making { .. } = refresh.phase {
        let phase = RefreshPhase::Rolling { stage: 0, watched_since: None };
        put(draft, Refresh { phase, to: to.clone(), ..(*refresh).clone() });
    }
}

/// Something that the cloud was asked did not work.
pub(super) fn fail(draft: &mut Draft<'_>, key: &Key) {
    let Key::MakeTemplate(id) = key else { return };
    let tried = draft.cluster.fleet.tries.get(key).cloned();
    let Some(refresh) = draft.cluster.refreshes().get(id).cloned() else { return };
    let is_making = matches!(refresh.phase, RefreshPhase::Making { .. });
    if let Some(tried) = tried.filter(|tried| is_making && tried.count >= MAKE_TRIES) {
        let why = tried.why.unwrap_or_default();
        let why = format!("no version of its template can be made: {why}");
        refresh::abort(draft, &refresh, &why);
    }
}

/// A group was looked at. What others have made of its size since is kept: we never ask for less, nor for more than the surge.
pub(super) fn see(draft: &mut Draft<'_>, before: Option<&Group>, group: &Group) {
    for key in shown(before, group) {
        draft.cluster.fleet.tries.remove(&key);
    }
    let Some(refresh) = open(draft.cluster, &group.name).filter(|refresh| refresh.is_rolling())
    else {
        return;
    };
    let surge = refresh.policy.surge_of(refresh.size as usize);
    let surge = u32::try_from(surge).unwrap_or(u32::MAX);
    let size = if group.desired < refresh.size {
        group.desired
    } else if group.desired > refresh.size.saturating_add(surge) {
        group.desired - surge
    } else {
        return;
    };
    put(draft, Refresh { size, ..(*refresh).clone() });
}

/// What the cloud was told and shows by now.
fn shown(before: Option<&Group>, group: &Group) -> Vec<Key> {
    let Some(before) = before else { return Vec::new() };
    let name = || group.name.clone();
    let mut shown = Vec::new();
    if before.blueprint != group.blueprint {
        shown.push(Key::Template(name()));
    }
    if before.max != group.max {
        shown.push(Key::Max(name()));
    }
    if before.suspended != group.suspended {
        shown.push(Key::Process(name()));
    }
    if before.foreign.is_some() != group.foreign.is_some() {
        shown.push(Key::Cancel(name()));
    }
    shown
}
