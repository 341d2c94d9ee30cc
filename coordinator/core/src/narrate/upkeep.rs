//! What changes about recipes mean of which bakes begin by themselves.

use model::bake::{Outcome, Upkeep};

use super::{Occurrence, Subject};
use crate::cluster::Cluster;

/// Says what it means that a recipe is kept up as it is now.
pub(super) fn narrate(before: &Cluster, upkeep: &Upkeep) -> Option<Occurrence> {
    let known = before.upkeeps().get(&upkeep.recipe.name);
    let message = news(known.map(AsRef::as_ref), upkeep)?;
    Some(Occurrence { subject: Subject::Recipe(upkeep.recipe.name.clone()), message })
}

fn news(before: Option<&Upkeep>, upkeep: &Upkeep) -> Option<String> {
    let Some(before) = before else {
        return Some("has bakes that begin by themselves".to_owned());
    };
    if before.recipe != upkeep.recipe {
        return Some("is another recipe from now on".to_owned());
    }
    match (before.is_paused, upkeep.is_paused) {
        (false, true) => return Some("is paused: no bake begins by itself".to_owned()),
        (true, false) => return Some("goes on: bakes begin by themselves again".to_owned()),
        (false, false) | (true, true) => {}
    }
    let last = upkeep.last.as_ref()?;
    let is_news = before.last.as_ref().is_none_or(|before| before.outcome != last.outcome);
    (is_news && last.outcome == Some(Outcome::Failed)).then(|| {
        let times = match upkeep.failures {
            1 => "once".to_owned(),
            failures => format!("{failures} times in a row"),
        };
        let again = upkeep.not_before();
        format!("has failed {times}: no bake begins by itself until {again}")
    })
}
