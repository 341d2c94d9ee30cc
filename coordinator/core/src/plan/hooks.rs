//! Answers groups that wait: a machine that leaves may go once nothing of ours runs there, and a new one counts once tasks
//! can run there.
//!
//! Hooks are hints: they come late, twice or never. Whatever is heard of a machine leads to the same drain, and the answer
//! follows from how far that is.

use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Answer, Hook, HookPhase, Transition};
use model::id::NodeId;
use model::node::{Availability, DrainPhase, Node};
use model::time::Timestamp;

use crate::cluster::{Change, Cluster};
use crate::command;
use crate::draft::Draft;

/// Tasks that were stopped by force have their grace and so much more to be seen to have ended.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// No more than one machine of a pool is given back in so long: when none becomes a node, launching more helps nobody.
const ABANDON_EVERY: Duration = Duration::from_secs(60);
/// An answer that a group knows is remembered for so long: messages that come twice come sooner.
pub(crate) const REMEMBER: Duration = Duration::from_secs(7_200);
/// A dead node of a pool is remembered for so long.
pub(crate) const REMEMBER_DEAD: Duration = Duration::from_secs(3_600);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let hooks: Vec<Arc<Hook>> = draft.cluster.hooks().values().cloned().collect();
    for hook in hooks {
        match (&hook.phase, hook.id.transition) {
            (HookPhase::Waiting, Transition::Terminating) => {
                if let Some(why) = may_go(draft.cluster, &hook, draft.now) {
                    answer(draft, &hook, (Answer::Continue, why));
                }
            }
            (HookPhase::Waiting, Transition::Launching) => enter(draft, &hook),
            (HookPhase::Done { at, .. }, _) if *at + REMEMBER <= draft.now => {
                draft.write(Change::RemoveHook(hook.id.clone()));
            }
            (HookPhase::Answered { .. } | HookPhase::Done { .. }, _) => {}
        }
    }
    forget_the_dead(draft);
}

/// Why the machine may go, once it may.
fn may_go(cluster: &Cluster, hook: &Hook, now: Timestamp) -> Option<String> {
    let Some(node) = cluster.nodes().get(&hook.id.instance) else {
        return Some("it never was a node".to_owned());
    };
    if node.availability == Availability::Dead {
        return Some("nothing runs there any more".to_owned());
    }
    if cluster.is_condemned(&node.id) && !cluster.is_heard(node, now) {
        return Some("it was silent for too long, and nobody can empty it".to_owned());
    }
    match node.drain?.phase {
        DrainPhase::Drained { .. } => Some("it is empty".to_owned()),
        DrainPhase::Forced { since } if given_up_at(cluster, (hook, node), since) <= now => {
            Some("what runs there was stopped by force and has not been seen to end".to_owned())
        }
        DrainPhase::Moving | DrainPhase::Forced { .. } => None,
    }
}

/// When what was stopped by force need not be waited for any more. An operator may have forced it long before the group wanted
/// the machine (simulation, seed 524).
fn given_up_at(cluster: &Cluster, (hook, node): (&Hook, &Node), since: Timestamp) -> Timestamp {
    let live = cluster.tasks_on(&node.id).filter(|task| !task.state.is_final());
    let containers = live.flat_map(|task| task.generation.spec.task.containers.iter());
    let grace = containers.map(|container| container.stop_grace).max().unwrap_or_default();
    since.max(hook.since) + grace + LAST_WAIT
}

/// Lets a machine in that has become a node, and gives one back that has not in time.
fn enter(draft: &mut Draft<'_>, hook: &Hook) {
    if command::is_ready(draft.cluster, hook, draft.now) {
        return answer(draft, hook, (Answer::Continue, "tasks can run there".to_owned()));
    }
    let turn = next_turn(draft.cluster, &hook.pool).unwrap_or(draft.now);
    if hook.deadline <= draft.now && turn <= draft.now {
        let why = lacks(draft.cluster, hook, draft.now).to_owned();
        answer(draft, hook, (Answer::Abandon, why));
    }
}

/// When a machine of the pool may be given back again, if one was lately.
fn next_turn(cluster: &Cluster, pool: &str) -> Option<Timestamp> {
    let of_pool = cluster.hooks().values().filter(|hook| hook.pool == pool);
    let given_back = of_pool.filter_map(|hook| match hook.phase {
        HookPhase::Answered { answer: Answer::Abandon, at, .. }
        | HookPhase::Done { answer: Some(Answer::Abandon), at } => Some(at + ABANDON_EVERY),
        HookPhase::Waiting | HookPhase::Answered { .. } | HookPhase::Done { .. } => None,
    });
    given_back.max()
}

/// What a machine that is being launched lacks.
pub(crate) fn lacks(cluster: &Cluster, hook: &Hook, now: Timestamp) -> &'static str {
    let Some(node) = cluster.nodes().get(&hook.id.instance) else {
        return "no agent has joined from it";
    };
    match node.availability {
        Availability::Dead => "it is gone",
        _ if !cluster.is_heard(node, now) => "its agent is silent",
        Availability::Cordoned if node.drain.is_some() => "it leaves already",
        Availability::Active if node.preparing_until.is_some() => {
            "the services of every node do not serve there yet"
        }
        Availability::Active | Availability::Cordoned => "its engine does not answer",
    }
}

fn answer(draft: &mut Draft<'_>, hook: &Hook, (answer, why): (Answer, String)) {
    let phase = HookPhase::Answered { answer, why, at: draft.now };
    draft.write(Change::PutHook(Arc::new(Hook { phase, ..hook.clone() })));
}

/// Machines come and go by the thousand: their nodes are not remembered for ever.
fn forget_the_dead(draft: &mut Draft<'_>) {
    let now = draft.now;
    let is_due = |at: &Timestamp| *at + REMEMBER_DEAD <= now;
    let due = draft.cluster.fleet.dead.iter().filter(|(_, at)| is_due(at)).map(|(id, _)| id);
    let due: Vec<NodeId> = due.cloned().collect();
    for id in due {
        if !is_over(draft.cluster, &id) {
            continue;
        }
        let ended: Vec<_> = draft.cluster.tasks_on(&id).cloned().collect();
        for task in ended {
            if draft.is_full() {
                return;
            }
            draft.write(Change::RemoveTask(task.id.clone()));
        }
        if draft.is_full() {
            return;
        }
        draft.write(Change::RemoveNode(id));
    }
}

/// Says whether every task of a node has ended.
fn is_over(cluster: &Cluster, node: &NodeId) -> bool {
    cluster.tasks_on(node).all(|task| task.state.is_final())
}

/// When time alone changes something for a hook or for a dead node.
pub(crate) fn next(cluster: &Cluster, now: Timestamp) -> Option<Timestamp> {
    let due = |hook: &Arc<Hook>| match (&hook.phase, hook.id.transition) {
        (HookPhase::Waiting, Transition::Launching) => {
            let turn = next_turn(cluster, &hook.pool);
            Some(turn.map_or(hook.deadline, |turn| turn.max(hook.deadline)))
        }
        (HookPhase::Waiting, Transition::Terminating) => {
            let node: &Node = cluster.nodes().get(&hook.id.instance)?;
            match node.drain?.phase {
                DrainPhase::Forced { since } => Some(given_up_at(cluster, (hook, node), since)),
                DrainPhase::Moving | DrainPhase::Drained { .. } => None,
            }
        }
        (HookPhase::Done { at, .. }, _) => Some(*at + REMEMBER),
        (HookPhase::Answered { .. }, _) => None,
    };
    let hooks = cluster.hooks().values().filter_map(due);
    let dead = cluster.fleet.dead.iter().filter(|(id, _)| is_over(cluster, id));
    let dead = dead.map(|(_, at)| *at + REMEMBER_DEAD);
    // What did not fit into this step is due still.
    hooks.filter(|at| *at > now).chain(dead.map(|at| at.max(now))).min()
}
