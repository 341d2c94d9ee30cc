//! What changes about pools mean.

use model::fleet::{Answer, Hook, HookPhase, Transition};

use super::{Occurrence, Subject};
use crate::cluster::{Change, Cluster};

/// Says what a change about pools will mean.
pub(super) fn narrate(before: &Cluster, change: &Change) -> Option<Occurrence> {
    match change {
        Change::PutPool(pool) => {
            let known = before.pools().contains_key(&pool.name);
            let message =
                if known { "has another policy" } else { "is managed: its machines are nodes" };
            Some(Occurrence {
                subject: Subject::Pool(pool.name.clone()),
                message: message.to_owned(),
            })
        }
        Change::RemovePool(name) => {
            let message = "is left to itself".to_owned();
            Some(Occurrence { subject: Subject::Pool(name.clone()), message })
        }
        Change::PutHook(hook) => {
            let known = before.hooks().get(&hook.id).map(|known| &known.phase);
            let message = hook_news(known, hook)?;
            Some(Occurrence { subject: Subject::Node(hook.id.instance.clone()), message })
        }
        Change::RemoveNode(id) => {
            let message = "is forgotten: its machine is long gone".to_owned();
            Some(Occurrence { subject: Subject::Node(id.clone()), message })
        }
        Change::RemoveHook(_)
        | Change::PutService(_)
        | Change::RemoveService(_)
        | Change::PutTask(_)
        | Change::RemoveTask(_)
        | Change::PutNode(_)
        | Change::PutBake(_)
        | Change::RemoveBake(_)
        | Change::PutAmi(_)
        | Change::RemoveAmi(_)
        | Change::PutNextTask(_) => None,
    }
}

fn hook_news(before: Option<&HookPhase>, hook: &Hook) -> Option<String> {
    let pool = &hook.pool;
    match (&hook.phase, hook.id.transition) {
        _ if before == Some(&hook.phase) => None,
        (HookPhase::Waiting, _) if before.is_some() => {
            Some(format!("still holds up {pool}, which has not heard the answer: it is told again"))
        }
        (HookPhase::Waiting, Transition::Launching) => {
            Some(format!("is launched by {pool}, which waits until tasks can run there"))
        }
        (HookPhase::Waiting, Transition::Terminating) => {
            Some(format!("is to leave {pool}, which waits until it is empty"))
        }
        (HookPhase::Answered { answer: Answer::Abandon, why, .. }, Transition::Launching) => {
            Some(format!("is given back to {pool}: {why}"))
        }
        (HookPhase::Answered { why, .. }, Transition::Launching) => {
            Some(format!("is let into {pool}: {why}"))
        }
        (HookPhase::Answered { why, .. }, Transition::Terminating) => {
            Some(format!("may leave {pool}: {why}"))
        }
        (HookPhase::Done { .. }, _) => None,
    }
}
