//! What operators want of recipes of which bakes begin by themselves, and what was seen when these were looked at.

use std::sync::Arc;
use std::time::Duration;

use model::bake::{Recipe, UPKEEPS_LIMIT, Upkeep};
use model::id::RecipeName;

use super::{refused, unknown_pool};
use crate::cluster::{Change, Look};
use crate::draft::Draft;
use crate::event::{BakeRefusal, RecipeLook, Refusal, Reply};

/// A base that was not found is asked for again so much later, each time twice as late, and as often as the recipe says at most.
const AGAIN: Duration = Duration::from_secs(60);

/// What an operator says later is all of it, but what has happened stays known. A recipe that was repaired waits for no
/// failures of before.
pub(super) fn put(draft: &mut Draft<'_>, recipe: &Recipe) -> Result<Reply, Refusal> {
    let name = &recipe.name;
    if recipe.triggers.is_empty() {
        return Err(refused(BakeRefusal::NoTrigger(name.clone())));
    }
    if let Some(pool) = unknown_pool(draft.cluster, recipe) {
        return Err(refused(BakeRefusal::NoPool(pool.to_owned())));
    }
    let known = draft.cluster.upkeeps().get(name).cloned();
    if known.is_none() && draft.cluster.upkeeps().len() >= UPKEEPS_LIMIT {
        return Err(refused(BakeRefusal::TooManyRecipes));
    }
    let upkeep = match known {
        None => Upkeep {
            recipe: Arc::new(recipe.clone()),
            since: draft.now,
            is_paused: false,
            dealt_until: draft.now,
            due: None,
            begins: None,
            last: None,
            failures: 0,
            spreads: None,
        },
        Some(known) => {
            let is_same = known.recipe.triggers.schedule == recipe.triggers.schedule;
            let dealt_until = if is_same { known.dealt_until } else { draft.now };
            Upkeep {
                recipe: Arc::new(recipe.clone()),
                dealt_until,
                due: known.due.filter(|_| is_same),
                failures: 0,
                spreads: known.spreads.clone().filter(|_| recipe.triggers.then_refresh),
                ..(*known).clone()
            }
        }
    };
    put_anew(draft, upkeep);
    Ok(Reply::Noted)
}

/// What comes while it stands still is not made up for: what is still a reason then is one.
pub(super) fn steer(
    draft: &mut Draft<'_>,
    name: &RecipeName,
    is_paused: bool,
) -> Result<Reply, Refusal> {
    let known = draft.cluster.upkeeps().get(name).cloned();
    let known = known.ok_or_else(|| refused(BakeRefusal::NoRecipe(name.clone())))?;
    let dealt_until = if known.is_paused { draft.now } else { known.dealt_until };
    put_anew(draft, Upkeep { is_paused, dealt_until, ..(*known).clone() });
    Ok(Reply::Noted)
}

fn put_anew(draft: &mut Draft<'_>, upkeep: Upkeep) {
    let known = draft.cluster.upkeeps().get(&upkeep.recipe.name);
    if known.is_none_or(|known| **known != upkeep) {
        draft.write(Change::PutUpkeep(Arc::new(upkeep)));
    }
}

pub(super) fn remove(draft: &mut Draft<'_>, name: &RecipeName) -> Result<Reply, Refusal> {
    if !draft.cluster.upkeeps().contains_key(name) {
        return Err(refused(BakeRefusal::NoRecipe(name.clone())));
    }
    draft.write(Change::RemoveUpkeep(name.clone()));
    Ok(Reply::Noted)
}

/// What comes of a recipe that is kept up no more, or has another base by now, is late.
pub(super) fn looked(draft: &mut Draft<'_>, seen: &RecipeLook) -> Reply {
    let Some(upkeep) = draft.cluster.upkeeps().get(&seen.recipe).cloned() else {
        return Reply::Noted;
    };
    let (triggers, bakes) = (&upkeep.recipe.triggers, &mut draft.cluster.bakes);
    let asked = triggers.base_moved.then(|| upkeep.recipe.base.to_string());
    if seen.base.as_ref().map(|(source, _)| source) != asked.as_ref() {
        return Reply::Noted;
    }
    let failures = bakes.looks.get(&seen.recipe).map_or(0, |known| known.failures);
    let look = match seen.base.as_ref().map(|(_, found)| found) {
        Some(Err(why)) => {
            let later = AGAIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
            Look {
                base: None,
                trouble: why.clone(),
                failures: failures.saturating_add(1),
                not_before: draft.now + later.min(triggers.look),
            }
        }
        Some(Ok(base)) => Look {
            base: Some(base.clone()),
            trouble: String::new(),
            failures: 0,
            not_before: draft.now + triggers.look,
        },
        None => Look {
            base: None,
            trouble: String::new(),
            failures: 0,
            not_before: draft.now + triggers.look,
        },
    };
    bakes.looks.insert(seen.recipe.clone(), look);
    bakes.sizes = Arc::new(seen.sizes.clone());
    bakes.release.clone_from(&seen.release);
    bakes.touch(&seen.recipe);
    Reply::Noted
}
