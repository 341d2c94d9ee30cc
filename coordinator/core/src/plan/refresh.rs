//! Moves pools to other machine images: new machines come first, then as many old ones are emptied and ended, until all of a
//! stage are new; those are watched, and then the next stage begins. If the new machines turn out to be bad, the same goes
//! backwards.
//!
//! Nothing is remembered of what is under way: which machines are new, which are being emptied and which may be ended follows
//! from what the cloud shows and from the drains of nodes. So whoever takes over goes on where it was.

pub(crate) mod hold;
mod root;
mod scene;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::NodeId;
use model::node::{DrainCause, DrainPhase, Node};
use model::refresh::{
    AtDeadline, HISTORY_LIMIT, Refresh, RefreshEnd, RefreshId, RefreshPhase, Skip,
};
use model::time::Timestamp;

pub use self::scene::{Progress, progress};

use self::scene::{Member, Scene};
use self::verdict::suspicion;
use crate::absorb;
use crate::cluster::{Change, Cluster};
use crate::draft::Draft;
use crate::plan::leaving;

/// Refreshes are looked at no more often: a look costs as much as a pool is large, and machines take a minute.
const EVERY: Duration = Duration::from_secs(1);
/// The process by which a group moves machines between zones. It would choose machines without asking anybody.
pub(crate) const REBALANCING: &str = "AZRebalance";
/// The process by which a group replaces machines that it finds sick, as one looks that boots.
pub(crate) const HEALING: &str = "ReplaceUnhealthy";

pub(crate) fn pass(draft: &mut Draft<'_>) {
    if draft.cluster.freeze().is_some_and(|freeze| !freeze.holds(draft.now)) {
        draft.write(Change::SetFreeze(None));
    }
    give_up_on_late(draft);
    let open: Vec<Arc<Refresh>> = draft.cluster.open_refreshes().cloned().collect();
    if open.is_empty() {
        draft.cluster.fleet.forget_refreshing();
        return;
    }
    if draft.cluster.fleet.refresh_at.is_some_and(|at| at > draft.now) {
        return;
    }
    let mut orders = Vec::new();
    let mut fenced = BTreeSet::new();
    let mut next = draft.now + EVERY;
    for refresh in open {
        let advanced = advance(draft, &refresh);
        let Some(scene) = Scene::of(draft.cluster, &advanced, draft.now) else { continue };
        fenced.extend(scene.fenced());
        let changes_at = hold::changes_at(draft.cluster, &advanced, draft.now);
        next = changes_at.map_or(next, |at| next.min(at));
        orders.extend(scene.orders());
    }
    draft.cluster.fleet.orders = orders;
    draft.cluster.fleet.fenced = fenced;
    draft.cluster.fleet.refresh_at = Some(next);
}

/// When a refresh that is held up may go on, and what it waits for, in the operator's words.
pub(crate) fn held_until(
    cluster: &Cluster,
    refresh: &Refresh,
    now: Timestamp,
) -> Option<(Option<Timestamp>, String)> {
    let held = hold::held(cluster, refresh, now)?;
    Some((held.until, held.note(now)))
}

fn put(draft: &mut Draft<'_>, refresh: Refresh) -> Refresh {
    draft.write(Change::PutRefresh(Arc::new(refresh.clone())));
    refresh
}

/// Takes a refresh as far as it goes now.
fn advance(draft: &mut Draft<'_>, refresh: &Refresh) -> Refresh {
    if let Some(why) = hold::in_vain(draft.cluster, refresh) {
        return abort(draft, refresh, &why);
    }
    // What was waited for is through: whatever becomes of it, and when it is forgotten, is nothing to this one any more.
    let after = hold::still_first(draft.cluster, refresh);
    if after != refresh.after {
        let refresh = put(draft, Refresh { after, ..refresh.clone() });
        return advance(draft, &refresh);
    }
    if let Some(refresh) = root::advance(draft, refresh) {
        return refresh;
    }
    let Some(scene) = Scene::of(draft.cluster, refresh, draft.now) else { return refresh.clone() };
    let failed = scene.failed_to_join();
    if failed.iter().any(|id| !refresh.failed.contains(id)) {
        let failed = refresh.failed.union(&failed).cloned().collect();
        let refresh = put(draft, Refresh { failed, ..refresh.clone() });
        return advance(draft, &refresh);
    }
    if let Some(noted) = noted(&scene) {
        return put(draft, noted);
    }
    match &refresh.phase {
        RefreshPhase::Making { .. } | RefreshPhase::Done { .. } => refresh.clone(),
        RefreshPhase::Rolling { stage, watched_since } => {
            let judged = refresh.paused_at.is_none();
            let suspicion = || suspicion(draft.cluster, &scene, draft.now);
            if let Some(why) = judged.then(suspicion).flatten() {
                return turn_back(draft, refresh, why);
            }
            match watched_since {
                None if scene.is_stage_over() => {
                    let watched_since = Some(draft.now);
                    let phase = RefreshPhase::Rolling { stage: *stage, watched_since };
                    put(draft, Refresh { phase, ..refresh.clone() })
                }
                None => replace(draft, refresh),
                Some(since) => {
                    let is_over = *since + refresh.policy.hold <= draft.now;
                    if is_over && refresh.paused_at.is_none() {
                        let left = scene.left_as_they_are();
                        let next = scene.stage_after(*stage);
                        next_stage(draft, refresh, (next, left))
                    } else {
                        refresh.clone()
                    }
                }
            }
        }
        RefreshPhase::RollingBack { why } if scene.is_stage_over() => {
            let end = RefreshEnd::RolledBack { why: why.clone() };
            let phase = RefreshPhase::Restoring { end, since: draft.now };
            let skipped = scene.left_as_they_are();
            put(draft, Refresh { phase, skipped, ..refresh.clone() })
        }
        RefreshPhase::RollingBack { .. } => replace(draft, refresh),
        RefreshPhase::Restoring { end, .. } if scene.is_restored() => {
            let phase = RefreshPhase::Done { end: end.clone(), at: draft.now };
            let done = put(draft, Refresh { phase, paused_at: None, ..refresh.clone() });
            forget_old(draft, &done.id);
            done
        }
        RefreshPhase::Restoring { .. } => {
            let not_to_go = scene.not_to_go();
            not_to_go.iter().for_each(|id| keep(draft, id));
            replace(draft, refresh)
        }
    }
}

/// What has to be written down before more is asked of the group, if anything has.
fn noted(scene: &Scene<'_>) -> Option<Refresh> {
    let refresh = scene.refresh;
    if let Some(max) = scene.outgrown() {
        let before = model::refresh::Before { max: Some(max), ..refresh.before };
        return Some(Refresh { before, ..refresh.clone() });
    }
    let known = &refresh.ending;
    let ending = &(known - &scene.ended()) | &scene.to_end();
    (ending != *known).then(|| Refresh { ending, ..refresh.clone() })
}

/// The next stage in which more machines are new, or the end.
fn next_stage(
    draft: &mut Draft<'_>,
    refresh: &Refresh,
    (next, left): (Option<usize>, BTreeMap<NodeId, Skip>),
) -> Refresh {
    if let Some(stage) = next {
        let phase = RefreshPhase::Rolling { stage, watched_since: None };
        return put(draft, Refresh { phase, ..refresh.clone() });
    }
    let phase = RefreshPhase::Restoring { end: RefreshEnd::Refreshed, since: draft.now };
    put(draft, Refresh { phase, skipped: left, ..refresh.clone() })
}

/// The new machines are bad: those that were there before come back, and what was to leave them stays.
pub(crate) fn turn_back(draft: &mut Draft<'_>, refresh: &Refresh, why: String) -> Refresh {
    call_off(draft, &refresh.id.pool);
    let skipped = BTreeMap::new();
    let phase = RefreshPhase::RollingBack { why };
    put(draft, Refresh { phase, skipped, paused_at: None, ..refresh.clone() })
}

/// It ends where it is: what is launched from now on is as before.
pub(crate) fn abort(draft: &mut Draft<'_>, refresh: &Refresh, why: &str) -> Refresh {
    call_off(draft, &refresh.id.pool);
    let end = RefreshEnd::Aborted { why: why.to_owned() };
    let phase = RefreshPhase::Restoring { end, since: draft.now };
    put(draft, Refresh { phase, paused_at: None, ..refresh.clone() })
}

/// Machines of the pool that are being emptied to be replaced stay after all.
fn call_off(draft: &mut Draft<'_>, pool: &str) {
    let leaving: Vec<NodeId> = draft.cluster.leaving_for_refresh(pool).cloned().collect();
    leaving.iter().for_each(|id| keep(draft, id));
}

/// The node is open again, unless its machine is being ended.
fn keep(draft: &mut Draft<'_>, id: &NodeId) {
    if draft.cluster.is_ending(id) {
        return;
    }
    let Some(node) = draft.cluster.nodes().get(id).cloned() else { return };
    if node.is_draining() {
        leaving::call_back(draft, id);
    }
    let availability = model::node::Availability::Active;
    draft.write(Change::PutNode(Arc::new(Node { availability, drain: None, ..(*node).clone() })));
    absorb::touch_nodes(draft);
}

/// Empties as many old machines as may be missed now.
fn replace(draft: &mut Draft<'_>, refresh: &Refresh) -> Refresh {
    if refresh.paused_at.is_some() {
        return refresh.clone();
    }
    while let Some(node) = next_to_leave(draft, refresh) {
        let within = refresh.policy.drain_within;
        absorb::empty(draft, &node, (within, DrainCause::Refresh));
        if draft.is_full() {
            break;
        }
    }
    refresh.clone()
}

fn next_to_leave(draft: &Draft<'_>, refresh: &Refresh) -> Option<Arc<Node>> {
    Scene::of(draft.cluster, refresh, draft.now)?.next_to_leave()?.node.cloned()
}

/// Machines that could not be emptied in time are left as they are, where that is wanted. That does not depend on what the
/// cloud shows: it comes before what is left there would be stopped.
fn give_up_on_late(draft: &mut Draft<'_>) {
    let refreshes: Vec<Arc<Refresh>> = draft.cluster.open_refreshes().cloned().collect();
    for refresh in refreshes {
        if refresh.policy.at_deadline == AtDeadline::Force {
            continue;
        }
        let late = draft.cluster.leaving_for_refresh(&refresh.id.pool).filter(|id| {
            let drain = draft.cluster.nodes().get(*id).and_then(|node| node.drain);
            drain.is_some_and(|drain| {
                drain.phase == DrainPhase::Moving && drain.deadline <= draft.now
            })
        });
        let late: Vec<NodeId> = late.cloned().collect();
        for id in late {
            skip(draft, &refresh.id, &id);
        }
    }
}

fn skip(draft: &mut Draft<'_>, refresh: &RefreshId, id: &NodeId) {
    let Some(refresh) = draft.cluster.refreshes().get(refresh).cloned() else { return };
    let now = draft.now;
    let live = draft.cluster.tasks_on(id).filter(|task| !task.state.is_final());
    let waits = live.map(|task| (task.id.clone(), leaving::wait(draft.cluster, task, now)));
    let blocked = waits.max_by_key(|(_, wait)| wait.is_blocked());
    let why = blocked.map_or_else(String::new, |(task, wait)| format!("{task} {wait}"));
    keep(draft, id);
    let mut skipped = refresh.skipped.clone();
    let tries = skipped.get(id).map_or(0, |skip| skip.tries) + 1;
    skipped.insert(id.clone(), Skip { why, tries });
    put(draft, Refresh { skipped, ..(*refresh).clone() });
}

/// Of refreshes that are over the latest are remembered.
fn forget_old(draft: &mut Draft<'_>, latest: &RefreshId) {
    let of_pool = draft.cluster.refreshes_of(&latest.pool).filter(|refresh| refresh.is_done());
    let mut old: Vec<RefreshId> = of_pool.map(|refresh| refresh.id.clone()).collect();
    old.truncate(old.len().saturating_sub(HISTORY_LIMIT));
    old.into_iter().for_each(|id| draft.write(Change::RemoveRefresh(id)));
}

/// What a plan for a pool depends on, in one number: what its machines are and are launched from, how many it wants, and what
/// runs on them.
#[must_use]
pub fn fingerprint(cluster: &Cluster, pool: &str) -> u64 {
    // FNV-1a: nobody gains from making two worlds look alike to his own plan.
    const SEED: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut words = Vec::new();
    if let Some(group) = cluster.group(pool) {
        words.push(format!("{:?} {} {}", group.blueprint, group.desired, group.max));
    }
    let members = cluster.instances().values();
    for one in members.filter(|one| one.pool.as_deref() == Some(pool)) {
        words.push(format!("{} {:?} {:?}", one.id, one.template_version, one.lifecycle));
        let live = cluster.tasks_on(&one.id).filter(|task| !task.state.is_final());
        words.extend(live.map(|task| format!("{} {:?}", task.id, task.desired)));
    }
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    bytes.fold(SEED, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl Member<'_> {
    fn is_drained(&self) -> bool {
        let drain = self.node.and_then(|node| node.drain);
        drain.is_some_and(|drain| match drain.phase {
            // What its group ends already is not ours to end.
            DrainPhase::Drained { .. } => !drain.cause.is_final(),
            DrainPhase::Moving | DrainPhase::Forced { .. } => false,
        })
    }
}
