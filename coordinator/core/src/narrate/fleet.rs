//! What changes about pools mean.

use model::fleet::{Answer, Asked, Hook, HookPhase, Pool, Transition};
use model::id::NodeId;
use model::refresh::{Freeze, Refresh, RefreshEnd, RefreshPhase, RootPhase, Skip};

use super::{Occurrence, Subject};
use crate::cluster::{Change, Cluster};

/// Says what a change about pools will mean.
pub(super) fn narrate(before: &Cluster, change: &Change) -> Option<Occurrence> {
    match change {
        Change::PutPool(pool) => {
            let known = before.pools().get(&pool.name).map(AsRef::as_ref);
            let message = condemned(before, known, pool).or_else(|| pool_news(known, pool))?;
            Some(Occurrence { subject: Subject::Pool(pool.name.clone()), message })
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
        Change::PutRefresh(refresh) => {
            let known = before.refreshes().get(&refresh.id);
            let message = refresh_news(known.map(AsRef::as_ref), refresh)?;
            Some(Occurrence { subject: Subject::Pool(refresh.id.pool.clone()), message })
        }
        Change::SetFreeze(freeze) => {
            let message = freeze_news(before.freeze(), freeze.as_deref())?;
            Some(Occurrence { subject: Subject::Pools, message })
        }
        Change::RemoveHook(_)
        | Change::RemoveRefresh(_)
        | Change::PutService(_)
        | Change::RemoveService(_)
        | Change::PutTask(_)
        | Change::RemoveTask(_)
        | Change::PutNode(_)
        | Change::PutBake(_)
        | Change::RemoveBake(_)
        | Change::PutAmi(_)
        | Change::RemoveAmi(_)
        | Change::PutUpkeep(_)
        | Change::RemoveUpkeep(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::PutSecret(_)
        | Change::RemoveSecret(_)
        | Change::PutNextTask(_) => None,
    }
}

fn freeze_news(before: Option<&Freeze>, freeze: Option<&Freeze>) -> Option<String> {
    match freeze {
        Some(freeze) if before == Some(freeze) => None,
        Some(freeze) => {
            let until = freeze.until.map(|until| format!(" until {}", until));
            Some(format!("stay as they are{}: {}", until.unwrap_or_default(), freeze.why))
        }
        None => before.map(|_| "are refreshed again".to_owned()),
    }
}

/// A machine is to end because it is silent.
fn condemned(before: &Cluster, known: Option<&Pool>, pool: &Pool) -> Option<String> {
    let is_news = |id: &NodeId| known.is_none_or(|known| !known.condemned.contains_key(id));
    let (id, at) = pool.condemned.iter().find(|(id, _)| is_news(id))?;
    let silent = before.sighting(id).map_or(0, |seen| at.since(seen.at).as_secs());
    Some(format!(
        "is to have {id} ended, which has been silent for {silent} s and runs as far as EC2 knows, and another in its place"
    ))
}

fn pool_news(before: Option<&Pool>, pool: &Pool) -> Option<String> {
    let Some(before) = before else {
        return Some("is managed: its machines are nodes".to_owned());
    };
    if before.policy != pool.policy {
        return Some("has another policy".to_owned());
    }
    if before.windows != pool.windows {
        let windows: Vec<String> = pool.windows.iter().map(ToString::to_string).collect();
        return Some(match windows.as_slice() {
            [] => "may have its machines replaced at all times".to_owned(),
            some => format!("has its machines replaced only {}", some.join(" or ")),
        });
    }
    let asked = pool.asked.as_ref().filter(|asked| before.asked.as_ref() != Some(*asked))?;
    let Asked { from, to, why, .. } = asked;
    Some(format!("is to have {to} machines instead of {from}: {why}"))
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

fn refresh_news(before: Option<&Refresh>, refresh: &Refresh) -> Option<String> {
    let number = refresh.id.number;
    let Some(before) = before else {
        let urgent = refresh.policy.urgent.as_ref();
        let urgent = urgent.map(|why| format!(", and it is urgent: {why}"));
        let urgent = urgent.unwrap_or_default();
        return Some(format!("refresh {number} begins: {} machines{urgent}", refresh.size));
    };
    if before.paused_at.is_some() != refresh.paused_at.is_some() && !refresh.is_done() {
        let how = if refresh.paused_at.is_some() { "stands still" } else { "goes on" };
        return Some(format!("refresh {number} {how}"));
    }
    let urgent = refresh.policy.urgent.as_ref().filter(|_| before.policy != refresh.policy);
    if let Some(why) = urgent {
        return Some(format!("refresh {number} is urgent: {why}"));
    }
    if before.phase != refresh.phase {
        return phase_news(&before.phase, refresh).map(|news| format!("refresh {number} {news}"));
    }
    let is_new = |(id, skip): &(&NodeId, &Skip)| before.skipped.get(*id) != Some(*skip);
    if let Some((id, skip)) = refresh.skipped.iter().find(is_new) {
        return Some(format!("refresh {number} leaves {id} as it is: {}", skip.why));
    }
    if let Some(news) = root_news(before, refresh) {
        return Some(format!("refresh {number}: {news}"));
    }
    if before.failed != refresh.failed {
        return Some(format!(
            "refresh {number}: {} of its machines never became nodes",
            refresh.failed.len()
        ));
    }
    (before.size != refresh.size)
        .then(|| format!("refresh {number} is of {} machines by now", refresh.size))
}

/// What is new of machines that get another root volume.
fn root_news(before: &Refresh, refresh: &Refresh) -> Option<String> {
    for (id, root) in &refresh.roots {
        let known = before.roots.get(id).filter(|known| known.since == root.since);
        match (known.map(|known| known.phase), root.phase) {
            (None, _) => return Some(format!("{id} is to boot from {}", root.ami)),
            (Some(before), RootPhase::Joined) if before != RootPhase::Joined => {
                return Some(format!("{id} has booted from {}", root.ami));
            }
            (Some(_), RootPhase::Asked | RootPhase::Booting { .. } | RootPhase::Joined) => {}
        }
    }
    let given_up = |id: &&NodeId| before.roots.contains_key(*id) && !before.ending.contains(*id);
    let id = refresh.ending.iter().find(given_up)?;
    Some(format!(
        "{id} did not boot from another root volume: its group is to put another machine in its place"
    ))
}

fn phase_news(before: &RefreshPhase, refresh: &Refresh) -> Option<String> {
    let size = refresh.size as usize;
    let quota = |stage| match refresh.policy.quota(stage, size) {
        Some(quota) => format!("{quota} of {size}"),
        None => "all of one zone".to_owned(),
    };
    match &refresh.phase {
        RefreshPhase::Making { .. } => None,
        RefreshPhase::Rolling { stage, watched_since: None } => Some(format!(
            "replaces machines by those of {} until {} are new",
            refresh.to,
            quota(*stage)
        )),
        RefreshPhase::Rolling { stage, watched_since: Some(_) } => match before {
            RefreshPhase::Rolling { watched_since: Some(_), .. } => {
                Some("is promoted by an operator".to_owned())
            }
            RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => Some(format!(
                "watches its new machines for {} s: {}",
                refresh.policy.hold.as_secs(),
                quota(*stage)
            )),
        },
        RefreshPhase::RollingBack { why } => Some(format!("is rolled back: {why}")),
        RefreshPhase::Restoring { .. } => {
            Some("has replaced what it will, and makes the group as it was".to_owned())
        }
        RefreshPhase::Done { end: RefreshEnd::Refreshed, .. } if refresh.skipped.is_empty() => {
            Some("is over: every machine is new".to_owned())
        }
        RefreshPhase::Done { end: RefreshEnd::Refreshed, .. } => {
            Some(format!("is over, and {} machines are left as they were", refresh.skipped.len()))
        }
        RefreshPhase::Done { end: RefreshEnd::RolledBack { .. }, .. }
            if refresh.skipped.is_empty() =>
        {
            Some("is over: the machines are as before".to_owned())
        }
        RefreshPhase::Done { end: RefreshEnd::RolledBack { .. }, .. } => Some(format!(
            "is over, and {} machines of the new kind are left",
            refresh.skipped.len()
        )),
        RefreshPhase::Done { end: RefreshEnd::Aborted { why }, .. } => {
            Some(format!("was ended where it was: {why}"))
        }
    }
}
