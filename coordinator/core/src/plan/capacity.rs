//! Asks for more machines when tasks find no room, when a pool has fewer than it should, or when less is free than is to be:
//! as many as those fill, of the pool whose machines are the smallest that would do, and no more than its group may have.
//!
//! What is on its way counts as room. How many are wanted follows from what waits, so that a task that is gone asks for
//! nothing, and whoever takes over asks for the same; what was asked last is written down before it is asked, with the reason.

mod growing;
mod machine;
mod soon;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Asked, Pool};
use model::id::Slot;
use model::node::{DrainCause, Node};
use model::task::Task;
use model::time::Timestamp;

pub(crate) use self::growing::{members, takes_any};
pub(crate) use self::machine::Machine;

use self::growing::Growing;
use self::soon::Soon;
use crate::cluster::{Change, Cluster, Shortage};
use crate::draft::Draft;
use crate::plan::leaving::{self, Wait};
use crate::plan::shrink;

/// It is counted no more often: tasks come in numbers, and machines take a minute.
const EVERY: Duration = Duration::from_secs(1);
/// The same while no task waits: room that is kept free is in no hurry.
const AT_LEISURE: Duration = Duration::from_secs(5);
/// So many waiting tasks are counted at once: those beyond find room with the next look.
const TASKS: usize = 1_000;
/// So many tasks are named as the reason.
const NAMED: usize = 3;
/// The same asked of a group as long ago is another request: it had what it was asked for meanwhile.
const STALE: Duration = Duration::from_secs(600);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let cluster = &*draft.cluster;
    let scales = |pool: &Arc<Pool>| pool.policy.grows || pool.policy.shrinks;
    let stands = |pool: &Arc<Pool>| {
        pool.policy.grows && (pool.policy.least > 0 || pool.policy.headroom.count > 0)
    };
    let is_wanted = cluster.pools().values().any(stands)
        || !cluster.waiting.is_empty() && cluster.pools().values().any(scales);
    if !is_wanted {
        draft.cluster.fleet.shortage.clear();
        draft.cluster.fleet.count_at = None;
        return;
    }
    let soon = if cluster.waiting.is_empty() { AT_LEISURE } else { EVERY };
    let due = cluster.fleet.count_at.is_none_or(|at| at <= draft.now || at > draft.now + soon);
    if due {
        let (shortage, reasons) = shortage(cluster, draft.now);
        draft.cluster.fleet.shortage = after_what_comes_back(cluster, shortage);
        draft.cluster.fleet.count_at = Some(draft.now + soon);
        draft.cluster.fleet.counted_at = Some(draft.now);
        write_down(draft, &reasons);
    }
}

/// A machine that is being emptied because nothing needed it comes back first: see [`super::shrink`]. What finds no room even then
/// is counted a moment later.
fn after_what_comes_back(
    cluster: &Cluster,
    mut shortage: BTreeMap<String, Shortage>,
) -> BTreeMap<String, Shortage> {
    let mut leaving = shrink::leaving(cluster).filter(|(node, _)| !cluster.is_ending(&node.id));
    let is_needed = |(node, _): (&Arc<Node>, _)| {
        let short = node.pool.as_ref().and_then(|pool| shortage.get(pool));
        short.is_some_and(|short| short.waiting > 0)
    };
    if leaving.any(is_needed) {
        shortage.values_mut().for_each(|short| short.machines = 0);
    }
    shortage
}

/// What is asked of each pool, and why.
type Reasons = BTreeMap<String, String>;

/// How many machines each pool lacks.
fn shortage(cluster: &Cluster, now: Timestamp) -> (BTreeMap<String, Shortage>, Reasons) {
    let pools = cluster.pools().values().filter(|pool| pool.policy.grows || pool.policy.shrinks);
    let mut pools: Vec<Growing<'_>> =
        pools.filter_map(|pool| Growing::of(cluster, pool, now)).collect();
    // Of two that would do the smaller machine is the cheaper one.
    pools.sort_by_cached_key(Growing::size);
    let waiting = waiting(cluster).chain(stranded(cluster, now));
    let mut waiting: Vec<&Arc<Task>> = waiting.take(TASKS).collect();
    // What is large is put first: the small then fits between.
    waiting.sort_by_key(|task| {
        let asked = task.generation.spec.task.reservation();
        let size = (asked.gpus, asked.memory_bytes, asked.cpu_millis);
        (Reverse(cluster.priority(&task.service)), Reverse(size), task.id.number())
    });
    let mut soon = Soon::of(cluster, now);
    for task in waiting {
        if !soon.takes(task) {
            find_room(&mut pools, task);
        }
    }
    pools.iter_mut().for_each(Growing::stand);
    let reasons = pools.iter().map(|pool| (pool.pool.name.clone(), pool.reason(NAMED))).collect();
    (pools.into_iter().filter_map(Growing::shortage).collect(), reasons)
}

fn find_room(pools: &mut [Growing<'_>], task: &Task) {
    if pools.iter_mut().any(|pool| pool.takes(task)) {
        return;
    }
    let mut takers: Vec<&mut Growing<'_>> =
        pools.iter_mut().filter_map(|pool| pool.would_take(task).then_some(pool)).collect();
    takers.iter_mut().for_each(|pool| pool.waiting += 1);
    if !takers.iter_mut().any(|pool| pool.opens(task)) {
        // It is the others that could have taken it, were they larger.
        let full = takers.into_iter().find(|pool| pool.is_full());
        full.into_iter().for_each(|pool| pool.beyond += 1);
    }
}

/// Tasks for which there is no room, and none is being made. What belongs to a node goes nowhere else, however many come.
fn waiting(cluster: &Cluster) -> impl Iterator<Item = &Arc<Task>> {
    let tasks = cluster.waiting.iter().flat_map(|service| cluster.tasks_of(service));
    tasks.filter(|task| {
        let may_go_anywhere = match task.slot {
            Slot::Replica(_) | Slot::RunReplica { .. } => true,
            Slot::Node(_) | Slot::RunNode { .. } => false,
        };
        let waits = task.is_wanted() && !task.state.is_final() && task.booked_on().is_none();
        may_go_anywhere && waits
    })
}

/// Tasks that are to leave their nodes and find no other, unless whoever empties the node sees to that.
fn stranded(cluster: &Cluster, now: Timestamp) -> impl Iterator<Item = &Arc<Task>> {
    let nodes = cluster.draining().filter_map(|id| cluster.nodes().get(id));
    let nodes = nodes.filter(|node| {
        node.drain.is_some_and(|drain| match drain.cause {
            DrainCause::ScaleIn | DrainCause::Refresh => false,
            DrainCause::Operator
            | DrainCause::AtRisk
            | DrainCause::Terminating
            | DrainCause::Interrupted => true,
        })
    });
    let tasks = nodes.flat_map(|node| cluster.tasks_on(&node.id));
    let tasks = tasks.filter(|task| task.is_wanted() && !task.state.is_final());
    tasks.filter(move |task| matches!(leaving::wait(cluster, task, now), Wait::Place(_)))
}

/// What a group is asked for is written down first. Whatever machines nothing needs, they might be needed again.
fn write_down(draft: &mut Draft<'_>, reasons: &Reasons) {
    let lacking = draft.cluster.fleet.shortage.iter();
    let lacking = lacking.filter(|(_, shortage)| !shortage.is_stuck);
    let lacking: Vec<(String, u32)> =
        lacking.map(|(name, shortage)| (name.clone(), shortage.machines)).collect();
    for (name, to) in lacking {
        let Some(from) = draft.cluster.group(&name).map(|group| group.desired) else { continue };
        let Some(pool) = draft.cluster.pools().get(&name).cloned() else { continue };
        let is_known = |asked: &Asked| {
            (asked.from, asked.to) == (from, to) && draft.now.since(asked.at) < STALE
        };
        if to <= from {
            continue;
        }
        draft.cluster.fleet.spare.clear();
        if !pool.asked.as_ref().is_some_and(is_known) {
            let why = reasons.get(&name).cloned().unwrap_or_default();
            let asked = Some(Asked { at: draft.now, from, to, why });
            draft.write(Change::PutPool(Arc::new(Pool { asked, ..(*pool).clone() })));
        }
    }
}

/// What is to be known of machines that were asked for, or can not be, by somebody whose task waits: one sentence a pool.
#[must_use]
pub fn outlook(cluster: &Cluster, now: Timestamp) -> Vec<String> {
    let growing = cluster.pools().values().filter(|pool| pool.policy.grows);
    growing.filter_map(|pool| outlook_of(cluster, pool, now)).collect()
}

fn outlook_of(cluster: &Cluster, pool: &Pool, now: Timestamp) -> Option<String> {
    let group = cluster.group(&pool.name)?;
    let name = &pool.name;
    let members: BTreeSet<_> = members(cluster, name).map(|one| &one.id).collect();
    let missing = (group.desired as usize).saturating_sub(members.len());
    if let Some(why) = group.failure.as_ref().filter(|_| missing > 0) {
        return Some(format!(
            "pool {name} lacks {missing} machines that its group can not launch: {why} (it goes on trying)"
        ));
    }
    let key = crate::command::Key::Desired(name.clone());
    if let Some(why) = cluster.fleet.tries.get(&key).and_then(|tried| tried.why.as_ref()) {
        return Some(format!("pool {name} was asked for more machines in vain: {why}"));
    }
    let short = cluster.shortage_of(name);
    let coming = missing
        + members
            .iter()
            .filter(|id| {
                cluster.nodes().get(**id).is_none_or(|node| node.preparing_until.is_some())
            })
            .count();
    let is_asked = short.is_some_and(|short| short.machines > group.desired);
    match &pool.asked {
        Some(asked) if asked.to > asked.from && (is_asked || coming > 0) => Some(format!(
            "pool {name} was asked for {} machines instead of {} {} s ago, because {}",
            asked.to,
            asked.from,
            now.since(asked.at).as_secs(),
            asked.why
        )),
        Some(_) | None if short.is_some_and(|short| short.beyond > 0) => Some(format!(
            "pool {name} may have no more machines: raise the greatest size of its group, or `--max`"
        )),
        Some(_) | None => None,
    }
}
