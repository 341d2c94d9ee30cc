//! Makes pools smaller: a machine without which everything fits elsewhere, room that is to stay free included, is emptied when
//! that was so for long enough, and ended through its group, which wants one less from then on.
//!
//! One machine of all pools at a time: what has moved is part of how the next is judged. A drain that turns out to be impossible,
//! or is late, is called off and never forced; the machine then has to be spare for longer before it is tried again.

mod judge;
mod preview;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Asked, Pool};
use model::id::NodeId;
use model::node::{Availability, Drain, DrainCause, DrainPhase, Node};
use model::time::Timestamp;

pub use self::judge::{Verdict, why_here};
pub use self::preview::consolidation;

use self::judge::verdicts;

use crate::absorb;
use crate::cluster::{Change, Cluster, Spare};
use crate::draft::Draft;
use crate::plan::leaving::{self, Wait};

/// Machines are looked for no more often: each is tried on all others in thought.
const EVERY: Duration = Duration::from_secs(5);
/// So many machines are judged at one look, those that could go first. With thousands of nodes that bounds what a look costs.
const JUDGED: usize = 20;
/// After so many attempts in vain a machine is not waited for any longer than after these.
const TRIES: u32 = 5;

pub(crate) fn pass(draft: &mut Draft<'_>) {
    give_up_on_late(draft);
    let cluster = &*draft.cluster;
    let shrinks = |pool: &Arc<Pool>| pool.policy.shrinks || !pool.ending.is_empty();
    let is_idle = !cluster.pools().values().any(shrinks) && leaving(cluster).next().is_none();
    if is_idle {
        draft.cluster.fleet.spare.clear();
        draft.cluster.fleet.shrink_at = None;
        return;
    }
    if cluster.fleet.shrink_at.is_some_and(|at| at > draft.now) {
        return;
    }
    draft.cluster.fleet.shrink_at = Some(draft.now + EVERY);
    follow(draft);
    forget_ended(draft);
    let candidates = judge(draft);
    begin(draft, &candidates);
}

/// Nodes that are being emptied, or are empty, because nothing needs their machines.
pub(crate) fn leaving(cluster: &Cluster) -> impl Iterator<Item = (&Arc<Node>, Drain)> {
    cluster.shrinking().filter_map(|node| Some((node, node.drain?)))
}

const fn is_ours(drain: &Drain) -> bool {
    matches!(drain.cause, DrainCause::ScaleIn)
}

/// Nobody forces out what could stay: the machine is kept when its time is over, before what is left would be stopped, and when
/// there are tasks that it could take. What has been counted at this very instant, after this pass, is heeded by the next step: it
/// would otherwise have something to do that this one has left (simulation, seed 2658).
fn give_up_on_late(draft: &mut Draft<'_>) {
    let is_old = draft.cluster.fleet.counted_at.is_some_and(|at| at < draft.now);
    let draining = draft.cluster.draining().filter_map(|id| draft.cluster.nodes().get(id));
    let late = draining.filter(|node| {
        let short = node.pool.as_ref().and_then(|pool| draft.cluster.shortage_of(pool));
        let is_needed = is_old && short.is_some_and(|short| short.waiting > 0);
        let is_late = |drain: Drain| drain.deadline <= draft.now;
        node.drain.is_some_and(|drain| is_ours(&drain) && (is_needed || is_late(drain)))
    });
    let late: Vec<NodeId> = late.map(|node| node.id.clone()).collect();
    late.iter().for_each(|id| call_off(draft, id));
}

/// Machines of the pool that are being emptied because nothing needs them stay after all.
pub(crate) fn call_off_all(draft: &mut Draft<'_>, pool: &str) {
    let of_pool = leaving(draft.cluster).filter(|(node, _)| node.pool.as_deref() == Some(pool));
    let all: Vec<NodeId> = of_pool.map(|(node, _)| node.id.clone()).collect();
    all.iter().for_each(|id| call_off(draft, id));
}

/// Takes what was begun as far as it goes, or calls it off.
fn follow(draft: &mut Draft<'_>) {
    let all: Vec<(NodeId, Drain)> =
        leaving(draft.cluster).map(|(node, drain)| (node.id.clone(), drain)).collect();
    for (id, drain) in all {
        // Who takes over has not looked at the cloud yet.
        if draft.cluster.is_ending(&id) || judge::is_unseen(draft.cluster, &id) {
            continue;
        }
        let stays = judge::obstacle(draft.cluster, &id).is_some();
        match drain.phase {
            _ if stays => call_off(draft, &id),
            DrainPhase::Moving | DrainPhase::Forced { .. } if finds_no_place(draft, &id) => {
                call_off(draft, &id);
            }
            DrainPhase::Moving | DrainPhase::Forced { .. } => {}
            DrainPhase::Drained { .. } => end(draft, &id),
        }
    }
}

fn finds_no_place(draft: &Draft<'_>, id: &NodeId) -> bool {
    let live = draft.cluster.tasks_on(id).filter(|task| !task.state.is_final());
    let mut waits = live.map(|task| leaving::wait(draft.cluster, task, draft.now));
    waits.any(|wait| matches!(wait, Wait::Place(_)))
}

/// The machine is empty: its group is to end it, and to want one less.
fn end(draft: &mut Draft<'_>, id: &NodeId) {
    let Some(pool) = pool_of(draft.cluster, id) else { return };
    let Some(from) = draft.cluster.group(&pool.name).map(|group| group.desired) else { return };
    let to = from.saturating_sub(1).max(judge::least(draft.cluster, &pool));
    let why = format!("nothing needs {id}");
    let asked = Some(Asked { at: draft.now, from, to, why });
    let mut ending = pool.ending.clone();
    ending.insert(id.clone());
    draft.write(Change::PutPool(Arc::new(Pool { ending, asked, ..(*pool).clone() })));
}

/// Machines that are gone by now, or on their way, need not be asked for any more.
fn forget_ended(draft: &mut Draft<'_>) {
    let pools: Vec<Arc<Pool>> = draft.cluster.pools().values().cloned().collect();
    for pool in pools.iter().filter(|pool| !pool.ending.is_empty()) {
        let cluster = &*draft.cluster;
        if cluster.group(&pool.name).is_none() {
            continue;
        }
        let stays = |id: &&NodeId| {
            let machine = cluster.instance(id);
            machine.is_some_and(|one| !one.lifecycle.is_leaving() && !one.power.is_off())
        };
        let ending: BTreeSet<NodeId> = pool.ending.iter().filter(stays).cloned().collect();
        if ending != pool.ending {
            draft.write(Change::PutPool(Arc::new(Pool { ending, ..(**pool).clone() })));
        }
    }
}

fn pool_of(cluster: &Cluster, id: &NodeId) -> Option<Arc<Pool>> {
    cluster.pools().get(cluster.nodes().get(id)?.pool.as_ref()?).cloned()
}

/// The machine stays: its node is open again, and it is not tried soon.
fn call_off(draft: &mut Draft<'_>, id: &NodeId) {
    let Some(node) = draft.cluster.nodes().get(id).cloned() else { return };
    if node.is_draining() {
        leaving::call_back(draft, id);
    }
    let availability = Availability::Active;
    draft.write(Change::PutNode(Arc::new(Node { availability, drain: None, ..(*node).clone() })));
    absorb::touch_nodes(draft);
    let tries = draft.cluster.spare(id).map_or(0, |spare| spare.tries).saturating_add(1);
    let spare = Spare { since: draft.now, tries: tries.min(TRIES) };
    draft.cluster.fleet.spare.insert(id.clone(), spare);
}

/// Writes down which machines nothing needs, and gives those that may go, the first of each pool first.
fn judge(draft: &mut Draft<'_>) -> Vec<NodeId> {
    let now = draft.now;
    let (mut spare, mut passing) = (Vec::new(), Vec::new());
    for pool in draft.cluster.pools().values().filter(|pool| pool.policy.shrinks) {
        let judged = verdicts(draft.cluster, (pool, JUDGED), now);
        for one in judged {
            match one.stays {
                None => spare.push(one.instance),
                Some(_) if one.is_passing => passing.push(one.instance),
                Some(_) => {}
            }
        }
    }
    let known = &mut draft.cluster.fleet.spare;
    // What has been tried in vain is remembered for as long as it would be waited for. Jobs that come by now and then do not
    // make a machine needed: with one a minute it would never go (simulation, seeds 33 and 290).
    let is_spare = |id: &NodeId| spare.contains(id) || passing.contains(id);
    known.retain(|id, known| is_spare(id) || known.tries > 0);
    for (_, known) in known.iter_mut().filter(|(id, _)| !is_spare(id)) {
        known.since = now;
    }
    for id in &spare {
        known.entry(id.clone()).or_insert(Spare { since: now, tries: 0 });
    }
    spare
}

/// How long the machine has to be spare before it is emptied.
fn patience(pool: &Pool, spare: Spare) -> Duration {
    pool.policy.shrink_after.saturating_mul(1 << spare.tries.min(TRIES))
}

/// When the machine will have been spare for long enough.
fn due(cluster: &Cluster, id: &NodeId) -> Option<Timestamp> {
    let spare = cluster.spare(id)?;
    Some(spare.since + patience(&*pool_of(cluster, id)?, spare))
}

/// Has the next machine emptied, if none is and nothing is in the way.
fn begin(draft: &mut Draft<'_>, candidates: &[NodeId]) {
    let cluster = &*draft.cluster;
    let is_busy = leaving(cluster).next().is_some()
        || cluster.pools().values().any(|pool| !pool.ending.is_empty());
    if is_busy || judge::unrest(cluster).is_some() || draft.is_full() {
        return;
    }
    let is_due = |id: &&NodeId| due(cluster, id).is_some_and(|at| at <= draft.now);
    let Some(id) = candidates.iter().find(is_due).cloned() else { return };
    let (Some(node), Some(pool)) = (cluster.nodes().get(&id).cloned(), pool_of(cluster, &id))
    else {
        return;
    };
    absorb::empty(draft, &node, (pool.policy.drain_within, DrainCause::ScaleIn));
}
