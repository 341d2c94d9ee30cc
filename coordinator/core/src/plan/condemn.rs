//! Ends machines whose agents are silent for long, where their pools want that: for what waits for a proof, which may be all that
//! keeps a service from running.
//!
//! Silence proves nothing, but the end of a machine does. So nothing is done about the tasks here: the group is asked to put
//! another machine in the place of this one, and they are lost when EC2 shows that it is gone, as with any other that ends. What is
//! decided is written down, and stays: from then on the request may have been made, whatever is heard afterwards. Its node is closed. A
//! machine that is heard again is emptied, as one that its group ends, and ends all the same. As heard counts who has said how all of
//! its tasks are: whoever takes over counts everybody as heard, and nobody is told to leave who has not been.

use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Lifecycle, Pool, Power, UNREACHABLE_EVERY, Unreachable};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};
use model::time::Timestamp;

use crate::absorb;
use crate::cluster::{Change, Cluster, UNREACHABLE_AFTER, Zones};
use crate::draft::Draft;
use crate::plan::leaving;

/// While a machine is silent it is looked at so often, and a machine that is silent for a while is found within as long.
const EVERY: Duration = Duration::from_secs(5);
/// What the cloud has said of a machine holds for so long: three looks, of which two may have failed.
const HOLDS: Duration = Duration::from_secs(90);

/// When a zone was silent as a whole, what is silent of it afterwards may be about to be heard.
const CALM: Duration = Duration::from_secs(300);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    forget_gone(draft);
    follow(draft);
    let now = draft.now;
    let ends = |pool: &Arc<Pool>| pool.policy.unreachable.ends();
    if !draft.cluster.pools().values().any(ends) {
        draft.cluster.fleet.condemn_at = None;
        return;
    }
    if draft.cluster.fleet.condemn_at.is_some_and(|at| at > now) {
        return;
    }
    let silent = silent(draft.cluster, now);
    brake(draft, &silent);
    for (pool, node) in &silent {
        if !draft.is_full() && why_not(draft.cluster, (pool, node), now).is_none() {
            condemn(draft, &pool.name, node);
        }
    }
    let next = if silent.is_empty() { first_silence(draft.cluster, now) } else { now + EVERY };
    draft.cluster.fleet.condemn_at = Some(next);
}

/// Writes down which zones are silent as a whole.
fn brake(draft: &mut Draft<'_>, silent: &[(Arc<Pool>, Arc<Node>)]) {
    let zones = Zones::of(draft.cluster, draft.now);
    let frozen = silent.iter().filter(|(_, node)| zones.is_frozen(node));
    let frozen: Vec<String> = frozen.map(|(_, node)| node.zone.clone()).collect();
    for zone in frozen {
        draft.cluster.fleet.braked.insert(zone, draft.now);
    }
}

/// Nodes of pools that end such which are silent, and are not being ended: those that have been for longest first.
fn silent(cluster: &Cluster, now: Timestamp) -> Vec<(Arc<Pool>, Arc<Node>)> {
    let nodes = cluster.nodes().values().filter(|node| {
        let silence = cluster.silence_of(node, now);
        silence.is_some_and(|silence| silence >= UNREACHABLE_AFTER) && !cluster.is_ending(&node.id)
    });
    let pool = |node: &Arc<Node>| {
        let pool = cluster.pools().get(node.pool.as_ref()?)?;
        pool.policy.unreachable.ends().then(|| (Arc::clone(pool), Arc::clone(node)))
    };
    let mut silent: Vec<(Arc<Pool>, Arc<Node>)> = nodes.filter_map(pool).collect();
    silent
        .sort_by_key(|(_, node)| (cluster.sighting(&node.id).map(|seen| seen.at), node.id.clone()));
    silent
}

/// When a node that is heard now can have been silent for a while.
fn first_silence(cluster: &Cluster, now: Timestamp) -> Timestamp {
    let heard = cluster.nodes().values().filter(|node| node.availability != Availability::Dead);
    let heard = heard.filter_map(|node| cluster.sighting(&node.id));
    let due = heard.map(|seen| seen.at + UNREACHABLE_AFTER).filter(|at| *at > now);
    due.min().unwrap_or(now + UNREACHABLE_AFTER)
}

/// The group is to end the machine. Whoever takes over after the first of the two changes closes the node itself.
fn condemn(draft: &mut Draft<'_>, pool: &str, node: &Node) {
    let Some(pool) = draft.cluster.pools().get(pool).cloned() else { return };
    let (mut condemned, mut condemned_in) = (pool.condemned.clone(), pool.condemned_in.clone());
    condemned.insert(node.id.clone(), draft.now);
    condemned_in.retain(|_, at| draft.now.since(*at) < UNREACHABLE_EVERY);
    condemned_in.insert(node.zone.clone(), draft.now);
    let pool = Pool { condemned, condemned_in, ..(*pool).clone() };
    draft.write(Change::PutPool(Arc::new(pool)));
    close(draft, node);
}

fn close(draft: &mut Draft<'_>, node: &Node) {
    if node.availability == Availability::Active {
        let availability = Availability::Cordoned;
        draft.write(Change::PutNode(Arc::new(Node { availability, ..node.clone() })));
        absorb::touch_nodes(draft);
    }
}

/// What is proven gone is over. So is a machine that is in its group no more, which can not end it then: its node is open again.
fn forget_gone(draft: &mut Draft<'_>) {
    let pools = draft.cluster.pools().values().filter(|pool| !pool.condemned.is_empty());
    let pools: Vec<Arc<Pool>> = pools.cloned().collect();
    for pool in pools {
        let stays =
            |id: &NodeId| is_there(draft.cluster, id) && !has_left(draft.cluster, &pool, id);
        let (there, gone): (Vec<_>, Vec<_>) =
            pool.condemned.iter().map(|(id, at)| (id.clone(), *at)).partition(|(id, _)| stays(id));
        if gone.is_empty() {
            continue;
        }
        // In this order: whoever takes over in between does it all again.
        gone.iter().for_each(|(id, _)| reopen(draft, id));
        let condemned = there.into_iter().collect();
        draft.write(Change::PutPool(Arc::new(Pool { condemned, ..(*pool).clone() })));
    }
}

fn is_there(cluster: &Cluster, id: &NodeId) -> bool {
    let node = cluster.nodes().get(id);
    node.is_some_and(|node| node.availability != Availability::Dead)
}

/// Says whether the machine runs, and in no group or another one.
fn has_left(cluster: &Cluster, pool: &Pool, id: &NodeId) -> bool {
    cluster
        .instance(id)
        .is_some_and(|one| one.power == Power::Running && one.pool.as_ref() != Some(&pool.name))
}

/// It does not end after all.
fn reopen(draft: &mut Draft<'_>, id: &NodeId) {
    let node = draft.cluster.nodes().get(id).cloned();
    let living = node.filter(|node| node.availability != Availability::Dead);
    let is_ours =
        |node: &Arc<Node>| node.drain.is_none_or(|drain| drain.cause == DrainCause::Terminating);
    let Some(node) = living.filter(is_ours) else { return };
    if node.is_draining() {
        leaving::call_back(draft, id);
    }
    let availability = Availability::Active;
    draft.write(Change::PutNode(Arc::new(Node { availability, drain: None, ..(*node).clone() })));
    absorb::touch_nodes(draft);
}

/// Who is to end is closed. Who is heard again has the time until then to be emptied like any other.
fn follow(draft: &mut Draft<'_>) {
    let mut all = Vec::new();
    for pool in draft.cluster.pools().values() {
        let nodes = pool.condemned.keys().filter_map(|id| draft.cluster.nodes().get(id));
        all.extend(nodes.map(|node| (Arc::clone(node), pool.policy.drain_within)));
    }
    for (node, within) in all {
        let is_leaving = node.drain.is_some_and(|drain| drain.cause.is_final());
        if !draft.cluster.is_back(&node.id, draft.now) {
            close(draft, &node);
        } else if !is_leaving {
            absorb::empty(draft, &node, (within, DrainCause::Terminating));
        }
    }
}

/// Why a machine that is silent is not ended now, in the operator's words; nothing when it is.
fn why_not(cluster: &Cluster, (pool, node): (&Pool, &Node), now: Timestamp) -> Option<String> {
    let seen = cluster.sighting(&node.id)?;
    let silence = now.since(seen.at);
    if let Some(why) = obstacle(cluster, (pool, node), now) {
        return Some(format!("is not ended: {why}"));
    }
    let braked = cluster.fleet.braked.get(&node.zone).map(|at| now.since(*at));
    if let Some(since) = braked.filter(|since| *since < CALM) {
        let since = lasting(since);
        return Some(format!("is not ended: its zone, or everybody, was silent {since} ago"));
    }
    let after = pool.policy.unreachable_after;
    if silence < after {
        let (gone, rest) = (lasting(silence), lasting(after.saturating_sub(silence)));
        return Some(format!("is silent for {gone}: ended in {rest}"));
    }
    let running = cluster.fleet.running.get(&node.id);
    let running = running.filter(|(first, _)| *first >= seen.at + UNREACHABLE_AFTER);
    if !running.is_some_and(|(first, last)| first < last && now.since(*last) < HOLDS) {
        return Some("is not ended: EC2 has to say twice that it runs".to_owned());
    }
    let last = last_of_zone(cluster, &node.zone).map(|at| now.since(at));
    let last = last.filter(|since| *since < UNREACHABLE_EVERY)?;
    Some(format!("is not ended: another machine of its zone was ended {} ago", lasting(last)))
}

/// When a machine of the zone was condemned last, of whatever pool.
fn last_of_zone(cluster: &Cluster, zone: &str) -> Option<Timestamp> {
    cluster.pools().values().filter_map(|pool| pool.condemned_in.get(zone)).max().copied()
}

/// What is against ending the machine, for however long it is silent.
fn obstacle(
    cluster: &Cluster,
    (pool, node): (&Pool, &Node),
    now: Timestamp,
) -> Option<&'static str> {
    let is_closed = match node.drain {
        None => node.availability == Availability::Cordoned,
        Some(drain) => drain.cause == DrainCause::Operator,
    };
    if is_closed {
        return Some("its node is closed");
    }
    if cluster.freeze().is_some_and(|freeze| freeze.holds(now)) {
        return Some("an operator has all pools stay as they are");
    }
    let (Some(group), Some(machine)) = (cluster.group(&pool.name), cluster.instance(&node.id))
    else {
        return Some("the cloud has not shown it");
    };
    if machine.pool.as_ref() != Some(&pool.name) || machine.lifecycle != Lifecycle::InService {
        return Some("its group has not put it in service, or ends it");
    }
    if machine.power != Power::Running {
        return Some("EC2 does not say that it runs");
    }
    if machine.is_protected && pool.policy.unreachable != Unreachable::EndProtected {
        return Some("it is protected from scale-in");
    }
    group.suspended.contains("Terminate").then_some("its group may end no machines")
}

/// What becomes of a node that is silent, or was when that was decided, in a sentence.
pub(crate) fn outlook(
    cluster: &Cluster,
    (pool, node): (&Pool, &Node),
    now: Timestamp,
) -> Option<String> {
    sentence(cluster, &Zones::of(cluster, now), (pool, node), now)
}

fn sentence(
    cluster: &Cluster,
    zones: &Zones<'_>,
    (pool, node): (&Pool, &Node),
    now: Timestamp,
) -> Option<String> {
    let silence = cluster.silence_of(node, now)?;
    if let Some(at) = pool.condemned.get(&node.id) {
        let ago = lasting(now.since(*at));
        return Some(format!(
            "it was silent for too long: its group was asked {ago} ago to end it"
        ));
    }
    if silence < UNREACHABLE_AFTER {
        return None;
    }
    if !pool.policy.unreachable.ends() {
        return Some(format!(
            "it is silent for {}, and is not ended for that: `wharf pool set {} --unreachable end`",
            lasting(silence),
            pool.name
        ));
    }
    if cluster.is_ending(&node.id) {
        return None;
    }
    // What was seen of zones is some seconds old.
    let is_frozen = zones.is_frozen(node) && obstacle(cluster, (pool, node), now).is_none();
    let frozen = is_frozen.then(|| "is not ended: its zone, or everybody, is silent".to_owned());
    let why = frozen.or_else(|| why_not(cluster, (pool, node), now));
    Some(format!("it {}", why.unwrap_or_else(|| "is ended now".to_owned())))
}

/// What becomes of a node that is silent and belongs to no pool, in a sentence.
pub(crate) fn of_no_pool(cluster: &Cluster, node: &Node, now: Timestamp) -> Option<String> {
    let silence = cluster.silence_of(node, now).filter(|silence| *silence >= UNREACHABLE_AFTER)?;
    let silence = lasting(silence);
    Some(format!("it is silent for {silence}, and there is no group that could end it for that"))
}

/// What becomes of the machines of a pool that are silent, a sentence each, where such are ended.
#[must_use]
pub fn silent_machines(cluster: &Cluster, pool: &Pool, now: Timestamp) -> Vec<String> {
    let of_pool = cluster.nodes().values().filter(|node| node.pool.as_ref() == Some(&pool.name));
    let of_pool = of_pool
        .filter(|node| pool.policy.unreachable.ends() || pool.condemned.contains_key(&node.id));
    let zones = Zones::of(cluster, now);
    let said = of_pool.filter_map(|node| {
        Some(format!("{}: {}", node.id, sentence(cluster, &zones, (pool, node), now)?))
    });
    said.collect()
}

/// A time in the words of an operator: whole minutes, or seconds below two.
fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
