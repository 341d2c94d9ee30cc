//! Bakes that begin by themselves. A recipe that is kept up is considered when something about it has changed or its time has come,
//! and taken one change at a time: each of them is a good state to be stopped in, so whoever takes over goes on where it was.
//!
//! What is to begin is written down first, by its id, then the bake, then that it has begun. So one reason never has two bakes.

pub(crate) mod judge;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::bake::{Bake, BakePhase, Begins, Begun, Cause, End, Outcome, Spread, Upkeep};
use model::id::RecipeName;
use model::time::Timestamp;

use self::judge::{Judged, judge};
use crate::absorb::bake as begin;
use crate::cluster::{Change, Cluster};
use crate::draft::Draft;
use crate::image_set;

/// What was written down for later than this was written by a clock that was wrong: nothing is waited for that long.
const CLOCK_SLIP: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let now = draft.now;
    let due = draft.cluster.bakes.considered.iter().filter(|(_, at)| **at <= now);
    let due: Vec<RecipeName> = due.map(|(name, _)| name.clone()).collect();
    for name in due {
        while let Some(change) = next_change(draft.cluster, &name, now) {
            if draft.is_full() {
                return;
            }
            if let Change::PutRefresh(_) = change {
                draft.cluster.fleet.refresh_at = None;
            }
            draft.write(change);
        }
        let again = considered_at(draft.cluster, &name, now);
        match again {
            Some(at) => draft.cluster.bakes.considered.insert(name, at),
            None => draft.cluster.bakes.considered.remove(&name),
        };
    }
}

/// When time alone changes something about a recipe that is kept up.
pub(crate) fn next(cluster: &Cluster) -> Option<Timestamp> {
    cluster.bakes.considered.values().min().copied()
}

/// When time alone may begin a bake of the recipe, if nothing else happens before.
fn considered_at(cluster: &Cluster, name: &RecipeName, now: Timestamp) -> Option<Timestamp> {
    let upkeep = cluster.upkeeps().get(name)?;
    let Judged { held, next, .. } = judge(cluster, upkeep, now);
    let held = held.and_then(|held| held.until);
    let next = next.map(|next| next.at);
    let spreads = spread::again(upkeep, now);
    held.into_iter().chain(next).chain(spreads).filter(|at| *at > now).min()
}

/// What is to be written next about a recipe. Each moves it forward, so this ends.
fn next_change(cluster: &Cluster, name: &RecipeName, now: Timestamp) -> Option<Change> {
    let upkeep = cluster.upkeeps().get(name)?;
    let put = |upkeep| Change::PutUpkeep(Arc::new(upkeep));
    let by_clock = || set_right(upkeep, now).or_else(|| pass_times(upkeep, now));
    let settled = || by_clock().or_else(|| settle(cluster, upkeep));
    if let Some(upkeep) = settled() {
        return Some(put(upkeep));
    }
    if let Some(begins) = &upkeep.begins {
        return Some(begin_bake(cluster, (upkeep, begins), now));
    }
    if let Some(change) = spread::next_change(cluster, upkeep, now) {
        return Some(change);
    }
    let Judged { cause, held, .. } = judge(cluster, upkeep, now);
    let cause = cause.filter(|_| held.is_none())?;
    let bake = begin::free_id(cluster, name, now);
    Some(put(Upkeep { begins: Some(Begins { bake, cause }), ..(**upkeep).clone() }))
}

/// A clock that was a year ahead keeps nothing waiting for a year.
fn set_right(upkeep: &Upkeep, now: Timestamp) -> Option<Upkeep> {
    let is_wrong = |at: Timestamp| at > now + CLOCK_SLIP;
    let last = upkeep.last.as_ref().filter(|last| is_wrong(last.at));
    if last.is_none() && !is_wrong(upkeep.dealt_until) {
        return None;
    }
    let last = upkeep.last.clone().map(|last| Begun { at: last.at.min(now), ..last });
    Some(Upkeep { last, dealt_until: upkeep.dealt_until.min(now), ..upkeep.clone() })
}

/// Times of the schedule that have passed are dealt with: the newest of them has a bake.
fn pass_times(upkeep: &Upkeep, now: Timestamp) -> Option<Upkeep> {
    let schedule = upkeep.recipe.triggers.schedule.as_ref().filter(|_| !upkeep.is_paused)?;
    let due = schedule.newest(upkeep.dealt_until, now, 1).pop()?;
    Some(Upkeep { due: Some(due), dealt_until: due, ..upkeep.clone() })
}

/// The last bake is through: what came of it is written down once.
fn settle(cluster: &Cluster, upkeep: &Upkeep) -> Option<Upkeep> {
    let last = upkeep.last.as_ref().filter(|last| last.outcome.is_none())?;
    let end = match cluster.bakes().get(&last.bake) {
        Some(bake) => end_of(bake)?,
        None => &End::Removed,
    };
    let (outcome, failures) = match end {
        End::Published { .. } => (Outcome::Published, 0),
        End::Failed { .. } => (Outcome::Failed, upkeep.failures.saturating_add(1)),
        End::Removed => (Outcome::Removed, upkeep.failures),
    };
    let spreads = match end {
        End::Published { ami } if upkeep.recipe.triggers.then_refresh => {
            let pools = upkeep.recipe.publish.pools.iter().map(|pool| (pool.clone(), None));
            Some(Spread { ami: ami.clone(), pools: pools.collect::<BTreeMap<_, _>>() })
        }
        End::Published { .. } | End::Failed { .. } | End::Removed => upkeep.spreads.clone(),
    };
    let last = Some(Begun { outcome: Some(outcome), ..last.clone() });
    Some(Upkeep { last, failures, spreads, ..upkeep.clone() })
}

/// How a bake ends, once that is certain.
fn end_of(bake: &Bake) -> Option<&End> {
    match &bake.phase {
        BakePhase::Clearing { end, .. } | BakePhase::Ended { end } => Some(end),
        BakePhase::Resolving
        | BakePhase::Launching { .. }
        | BakePhase::Joining { .. }
        | BakePhase::Working { .. }
        | BakePhase::Stopping { .. }
        | BakePhase::Imaging { .. }
        | BakePhase::Settling { .. }
        | BakePhase::TrialLaunching { .. }
        | BakePhase::TrialJoining { .. }
        | BakePhase::Trying { .. }
        | BakePhase::Publishing { .. }
        | BakePhase::Kept { .. } => None,
    }
}

/// A bake that was decided on is made, once; and when it is there that is written down.
fn begin_bake(cluster: &Cluster, (upkeep, begins): (&Upkeep, &Begins), now: Timestamp) -> Change {
    let put = |upkeep| Change::PutUpkeep(Arc::new(upkeep));
    if let Some(bake) = cluster.bakes().get(&begins.bake) {
        let last = Begun {
            bake: bake.id.clone(),
            cause: begins.cause.clone(),
            at: bake.started_at,
            release: cluster.bakes.release.clone(),
            outcome: None,
        };
        let due = upkeep.due.filter(|due| begins.cause != Cause::Due(*due));
        return put(Upkeep { begins: None, last: Some(last), due, ..upkeep.clone() });
    }
    // Whoever takes over may have heard of something else first, or of nothing yet: then it is judged anew.
    if judge::held(cluster, upkeep, now).is_some() {
        return put(Upkeep { begins: None, ..upkeep.clone() });
    }
    let recipe = &upkeep.recipe;
    let choices = image_set::choose(cluster, &recipe.images, &cluster.bakes.sizes);
    let images = image_set::chosen(&choices);
    Change::PutBake(Arc::new(begin::begun(recipe, (begins, &images), now)))
}
