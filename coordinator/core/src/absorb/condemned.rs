//! What is heard of machines that are ended because their agents are silent, and of those that may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::fleet::{Instance, Lifecycle, Pool, PoolPolicy, Power, Survey, UNREACHABLE_LIMITS};
use model::id::NodeId;
use model::task::Task;

use crate::cluster::UNREACHABLE_AFTER;
use crate::draft::Draft;
use crate::event::{PoolRefusal, Refusal};

/// Nothing is ended before two looks can have shown that it runs, and nobody waits for a month.
pub(super) fn check(policy: &PoolPolicy) -> Result<(), Refusal> {
    let (least, most) = UNREACHABLE_LIMITS;
    if (least..=most).contains(&policy.unreachable_after) {
        return Ok(());
    }
    Err(Refusal::Pool(PoolRefusal::Policy(format!(
        "a machine is silent from {} s to {} days before it is ended for that, and {} s were asked for",
        least.as_secs(),
        most.as_secs() / 86_400,
        policy.unreachable_after.as_secs()
    ))))
}

/// Writes down which of the machines that are silent run all the same, as far as the cloud says. Once is never enough: what it says
/// may lag behind.
pub(super) fn see(draft: &mut Draft<'_>, survey: &Survey) {
    let now = draft.now;
    let runs = |one: &&Instance| {
        let node = draft.cluster.nodes().get(&one.id);
        let silence = node.and_then(|node| draft.cluster.silence_of(node, now));
        one.power == Power::Running
            && one.lifecycle == Lifecycle::InService
            && silence.is_some_and(|silence| silence >= UNREACHABLE_AFTER)
    };
    let before = &draft.cluster.fleet.running;
    let seen = survey.instances.iter().filter(runs).map(|one| {
        let heard = draft.cluster.sighting(&one.id).map(|seen| seen.at + UNREACHABLE_AFTER);
        // What was seen before it was heard again is of another silence.
        let first = before.get(&one.id).map(|(first, _)| *first);
        let first = first.filter(|first| heard.is_some_and(|heard| heard <= *first));
        (one.id.clone(), (first.unwrap_or(now), now))
    });
    let mut running: BTreeMap<_, _> = seen.collect();
    // Of those that were not asked for nothing new is known.
    let asked: BTreeSet<&NodeId> = survey.instances.iter().map(|one| &one.id).collect();
    let unasked = before.iter().filter(|(id, _)| !asked.contains(id));
    running.extend(unasked.map(|(id, seen)| (id.clone(), *seen)));
    running.retain(|id, _| draft.cluster.nodes().contains_key(id));
    draft.cluster.fleet.running = running;
}

/// A machine that is to end is heard again: what did not leave because nobody was there to be told can leave now.
pub(super) fn heard(draft: &mut Draft<'_>, node: &NodeId) {
    if draft.cluster.is_condemned(node) {
        let there: Vec<Arc<Task>> = draft.cluster.tasks_on(node).cloned().collect();
        there.iter().for_each(|task| draft.touch_slot(&task.service, &task.slot));
    }
}

/// A group is not left to itself while it is asked to end a machine: nobody would know what becomes of it.
pub(super) fn check_none(pool: &Pool) -> Result<(), Refusal> {
    match pool.condemned.keys().next() {
        Some(id) => Err(Refusal::Pool(PoolRefusal::Ends(pool.name.clone(), id.clone()))),
        None => Ok(()),
    }
}
