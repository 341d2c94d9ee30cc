//! What there is to say about a recipe of which bakes begin by themselves: what each of its triggers sees, and what comes next.

use std::sync::Arc;

use model::bake::{Ami, Triggers, Upkeep};
use model::time::Timestamp;

use crate::absorb::bake::under_way;
use crate::cluster::Cluster;
use crate::plan::refresh::hold::lasting;
use crate::plan::upkeep::judge::{self, Judged};

/// How a recipe is that is kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The word for it that operators see.
    pub word: &'static str,
    /// Its newest image that is published, and when that was.
    pub image: Option<(Arc<Ami>, Timestamp)>,
    /// Why a bake should begin, and what keeps it from that.
    pub note: String,
    /// When time alone begins one next, and why.
    pub next: Option<(Timestamp, String)>,
    /// What each trigger sees.
    pub sees: Vec<String>,
    /// How the last bake that has begun by itself is, in one word.
    pub last: Option<&'static str>,
}

/// Says how a recipe is.
#[must_use]
pub fn outlook(cluster: &Cluster, upkeep: &Upkeep, now: Timestamp) -> Outlook {
    let Judged { cause, held, next } = judge::judge(cluster, upkeep, now);
    let is_baking = under_way(cluster, &upkeep.recipe.name).is_some();
    let word = match (&cause, upkeep.is_paused, is_baking) {
        (_, true, _) => "paused",
        (_, false, true) => "baking",
        (Some(_), false, false) => "due",
        (None, false, false) => "waiting",
    };
    let why = cause.as_ref().filter(|_| !is_baking).map(ToString::to_string);
    let wait = held.as_ref().filter(|_| cause.is_some() || upkeep.is_paused || is_baking);
    let wait = wait.map(|held| match held.until {
        Some(until) => format!("{}, in {}", held.why, lasting(until.since(now))),
        None => held.why.clone(),
    });
    let trouble = cluster.bakes.looks.get(&upkeep.recipe.name);
    let trouble = trouble.filter(|look| !look.trouble.is_empty());
    let trouble = trouble.map(|look| format!("its base is not known: {}", look.trouble));
    let spreads = upkeep.spreads.as_ref().map(|spread| {
        let pools: Vec<&str> = spread.pools.keys().map(String::as_str).collect();
        format!("{} is to be refreshed with {}", pools.join(", "), spread.ami)
    });
    let notes: Vec<String> = [why, wait, trouble, spreads].into_iter().flatten().collect();
    let later = held.and_then(|held| held.until).filter(|_| cause.is_some());
    let next = match (cause, later, next) {
        (Some(cause), Some(at), _) => Some((at, format!("because {cause}"))),
        (Some(_), None, _) | (None, _, None) => None,
        (None, _, Some(next)) => Some((next.at, next.what.to_owned())),
    };
    Outlook {
        word,
        image: cluster.newest_image(&upkeep.recipe.name).map(|(ami, at)| (Arc::clone(ami), at)),
        note: notes.join("; "),
        next,
        sees: sees(cluster, upkeep),
        last: last(cluster, upkeep),
    }
}

fn last(cluster: &Cluster, upkeep: &Upkeep) -> Option<&'static str> {
    let last = upkeep.last.as_ref()?;
    let outcome = last.outcome.map(model::bake::Outcome::word);
    outcome.or_else(|| cluster.bakes().get(&last.bake).map(|bake| bake.phase.word()))
}

/// One line for each trigger.
fn sees(cluster: &Cluster, upkeep: &Upkeep) -> Vec<String> {
    let recipe = &upkeep.recipe;
    let Triggers { schedule, base_moved, images_percent, agent_newer, age, .. } = &recipe.triggers;
    let image = cluster.newest_image(&recipe.name);
    let look = cluster.bakes.looks.get(&recipe.name);
    let schedule = schedule.as_ref().map(|at| format!("schedule: {} ({})", at.recurrence, at.zone));
    let base = base_moved.then(|| {
        let now = look.and_then(|look| look.base.as_ref());
        let now = now.map_or_else(|| "not known".to_owned(), |base| base.ami.to_string());
        let of = image.map_or_else(|| "none".to_owned(), |(ami, _)| ami.base.ami.to_string());
        format!("base: {} is {now}; the newest image began with {of}", recipe.base)
    });
    let images = images_percent.map(|most| match judge::missing(cluster, upkeep) {
        Some(percent) => format!(
            "images: the newest image lacks {percent} % of the bytes that would go in; {most} % are too many"
        ),
        None => format!("images: it is not known what the newest image lacks; {most} % are too many"),
    });
    let agent = agent_newer.then(|| {
        let release = Some(&cluster.bakes.release).filter(|release| !release.is_empty());
        let release = release.map_or("not known", String::as_str);
        let of = image.map_or("none", |(ami, _)| ami.facts.agent_version.as_str());
        format!("agent: the coordinator is {release}; the agent of the newest image is {of}")
    });
    let age = age.map(|age| {
        let since = image.map(|(_, at)| at.to_string());
        let since = since.unwrap_or_else(|| "never".to_owned());
        format!("age: published {since}; {} are too much", lasting(age))
    });
    [schedule, base, images, agent, age].into_iter().flatten().collect()
}
