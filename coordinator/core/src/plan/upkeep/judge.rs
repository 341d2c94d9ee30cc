//! Whether a bake of a recipe should begin by itself, and what keeps it from that.

use std::cmp::Ordering;

use model::bake::{Cause, Outcome, Upkeep};
use model::constraint::Version;
use model::time::Timestamp;

use crate::absorb::bake::{under_way, unknown_pool};
use crate::cluster::Cluster;
use crate::image_set;

/// So many bakes that begin by themselves are under way at once: each has a machine, and often all recipes have one reason.
pub(crate) const AT_ONCE: usize = 4;

/// What there is to say about a recipe that is kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Why a bake should begin, if it should.
    pub(crate) cause: Option<Cause>,
    /// What keeps one from beginning, whether or not one should.
    pub(crate) held: Option<Held>,
    /// What time alone makes a reason next.
    pub(crate) next: Option<Next>,
}

/// What keeps a bake from beginning by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// In the operator's words.
    pub(crate) why: String,
    /// Until when; none when something else than time ends it.
    pub(crate) until: Option<Timestamp>,
}

/// What time alone makes a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    /// When.
    pub(crate) at: Timestamp,
    /// What, in the operator's words.
    pub(crate) what: &'static str,
}

pub(crate) fn judge(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Judged {
    let held = held(cluster, upkeep, now);
    Judged { cause: cause(cluster, upkeep, now), held, next: next(cluster, upkeep, now) }
}

/// Why a bake should begin: the first reason that there is.
fn cause(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Option<Cause> {
    if let Some(due) = upkeep.due {
        return Some(Cause::Due(due));
    }
    let triggers = &upkeep.recipe.triggers;
    if !triggers.wants_image() {
        return None;
    }
    let Some((_, at)) = cluster.newest_image(&upkeep.recipe.name) else {
        return Some(Cause::First);
    };
    let is_old = triggers.age.is_some_and(|age| at + age <= now);
    moved(cluster, upkeep)
        .or_else(|| outdated(cluster, upkeep))
        .or_else(|| lacking(cluster, upkeep))
        .or_else(|| is_old.then_some(Cause::Age(at)))
}

fn moved(cluster: &Cluster, upkeep: &Upkeep) -> Option<Cause> {
    let base = cluster.bakes.looks.get(&upkeep.recipe.name)?.base.as_ref()?;
    let (image, _) = cluster.newest_image(&upkeep.recipe.name)?;
    let (from, to) = (image.base.ami.clone(), base.ami.clone());
    (upkeep.recipe.triggers.base_moved && from != to).then_some(Cause::Base { from, to })
}

/// An image that this release has baked itself, and whose agent is older all the same, is not made newer by another bake: the
/// recipe brings that agent.
fn outdated(cluster: &Cluster, upkeep: &Upkeep) -> Option<Cause> {
    let (image, _) = cluster.newest_image(&upkeep.recipe.name)?;
    let release = &cluster.bakes.release;
    let (from, to) = (&image.facts.agent_version, release);
    let is_older = is_older(from, to)? && upkeep.recipe.triggers.agent_newer;
    let is_in_vain = upkeep.last.as_ref().is_some_and(|last| {
        last.bake == image.bake
            && last.outcome == Some(Outcome::Published)
            && last.release == *release
    });
    let cause = || Cause::Agent { from: from.clone(), to: to.clone() };
    (is_older && !is_in_vain).then(cause)
}

/// Says whether a release is older than another, where both can be read.
pub(crate) fn is_older(release: &str, other: &str) -> Option<bool> {
    let read = |text: &str| text.parse::<Version>().ok();
    Some(read(release)?.order(&read(other)?) == Ordering::Less)
}

fn lacking(cluster: &Cluster, upkeep: &Upkeep) -> Option<Cause> {
    let most = upkeep.recipe.triggers.images_percent?;
    let percent = missing(cluster, upkeep)?;
    (percent >= most).then_some(Cause::Images(percent))
}

/// How much of what would go in now the newest image lacks, in a hundred. None before it is known how large images are.
pub(crate) fn missing(cluster: &Cluster, upkeep: &Upkeep) -> Option<u32> {
    cluster.bakes.looks.get(&upkeep.recipe.name)?;
    let (image, _) = cluster.newest_image(&upkeep.recipe.name)?;
    let choices = image_set::choose(cluster, &upkeep.recipe.images, &cluster.bakes.sizes);
    Some(image_set::missing_percent(&choices, &image.images))
}

/// What keeps a bake of the recipe from beginning by itself now.
pub(crate) fn held(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Option<Held> {
    let open = |why: String| Some(Held { why, until: None });
    let recipe = &upkeep.recipe;
    if upkeep.is_paused {
        return open(format!("it is paused: `wharf recipe resume {}` ends that", recipe.name));
    }
    if let Some(bake) = under_way(cluster, &recipe.name) {
        return open(format!("waits for bake {}", bake.id));
    }
    if let Some(pool) = unknown_pool(cluster, recipe) {
        return open(format!("its images are for pool {pool}, which there is not"));
    }
    if let Some(freeze) = cluster.freeze().filter(|freeze| freeze.holds(now)) {
        let why = format!("waits for the end of the freeze ({})", freeze.why);
        return Some(Held { why, until: freeze.until });
    }
    let not_before = upkeep.not_before();
    if not_before > now {
        let why = match upkeep.failures {
            0 => "waits, because the last one is not long ago".to_owned(),
            1 => "waits, because the last one has failed".to_owned(),
            failures => format!("waits, because the last {failures} have failed"),
        };
        return Some(Held { why, until: Some(not_before) });
    }
    if !cluster.bakes.looks.contains_key(&recipe.name) {
        return open("waits to be looked at".to_owned());
    }
    let by_itself = cluster.bakes().values().filter(|bake| bake.phase.is_under_way());
    let by_itself = by_itself.filter(|bake| bake.cause != Cause::Asked).count();
    if by_itself >= AT_ONCE {
        return open(format!("waits for one of {by_itself} bakes that have begun by themselves"));
    }
    None
}

/// What time alone makes a reason next.
fn next(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Option<Next> {
    if upkeep.is_paused {
        return None;
    }
    let triggers = &upkeep.recipe.triggers;
    let due = triggers.schedule.as_ref().and_then(|schedule| schedule.next(upkeep.dealt_until));
    let due = due.map(|at| Next { at, what: "by its schedule" });
    let image = cluster.newest_image(&upkeep.recipe.name);
    let age = image.and_then(|(_, at)| Some(at + triggers.age?)).filter(|at| *at > now);
    let age = age.map(|at| Next { at, what: "because the newest image is too old then" });
    due.into_iter().chain(age).min_by_key(|next| next.at)
}
