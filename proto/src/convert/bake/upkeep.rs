//! When bakes begin by themselves, and what is known of those that did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::bake::{BaseSource, Begins, Begun, Cause, Outcome, SHORTEST, Spread, Triggers, Upkeep};
use model::schedule::{CatchUp, Overlap, RecurrenceError, Schedule, ZoneError};
use model::time::Timestamp;

use super::recipe::{recipe_from_wire, recipe_to_wire};
use crate::convert::checks::{duration, few, line, millis, seen};
use crate::convert::job::shown;
use crate::convert::{At, Invalid, Named, Valid};
use crate::wire;
use crate::wire::bake_cause::Cause as WireCause;

/// What can be a reason is looked at once a day at least: who looks more seldom looks in vain.
const LOOK_MOST: Duration = Duration::from_secs(24 * 3_600);

/// Reads when a bake begins by itself, of a recipe with this base and for these pools.
pub(super) fn triggers_from_wire(
    from: Option<&wire::BakeTriggers>,
    (base, pools): (&BaseSource, &[String]),
) -> Valid<Triggers> {
    let Some(from) = from else { return Ok(Triggers::default()) };
    if from.base_moved && matches!(base, BaseSource::Id(_)) {
        let why = "can not move: the base is one image, by its id";
        return Err(Invalid::new("recipe.triggers.base", why));
    }
    if from.then_refresh && pools.is_empty() {
        let why = "is to refresh pools, and `publish` names none";
        return Err(Invalid::new("recipe.triggers.then", why));
    }
    if from.images_percent > 100 {
        let why = format!("{} % is not from 1 to 100", from.images_percent);
        return Err(Invalid::new("recipe.triggers.images", why));
    }
    let look = long("recipe.triggers.look", from.look_ms)?;
    if look > LOOK_MOST {
        return Err(Invalid::new("recipe.triggers.look", "is longer than a day"));
    }
    let age = Some(from.age_ms).filter(|age| *age > 0);
    Ok(Triggers {
        schedule: schedule_from_wire(from)?,
        base_moved: from.base_moved,
        images_percent: Some(from.images_percent).filter(|percent| *percent > 0),
        agent_newer: from.agent_newer,
        age: age.map(|age| long("recipe.triggers.age", age)).transpose()?,
        apart: long("recipe.triggers.apart", from.apart_ms)?,
        look,
        then_refresh: from.then_refresh,
    })
}

/// A time in which something can happen.
fn long(path: &str, from: u64) -> Valid<Duration> {
    let long = duration(path, from)?;
    if long < SHORTEST {
        let why = format!("is shorter than {} s", SHORTEST.as_secs());
        return Err(Invalid::new(path, why));
    }
    Ok(long)
}

fn schedule_from_wire(from: &wire::BakeTriggers) -> Valid<Option<Schedule>> {
    if from.recurrence.is_empty() {
        return Ok(None);
    }
    let path = "recipe.triggers.schedule";
    let recurrence = from.recurrence.parse();
    let recurrence = recurrence
        .map_err(|error: RecurrenceError| Invalid::new(path, shown(&error.to_string())))?;
    let zone = from.time_zone.parse();
    let zone = zone.map_err(|error: ZoneError| Invalid::new(path, shown(&error.to_string())))?;
    let (overlap, catch_up) = (Overlap::Forbid, CatchUp::default());
    Ok(Some(Schedule { recurrence, zone, overlap, catch_up }))
}

pub(super) fn triggers_to_wire(triggers: &Triggers) -> Option<wire::BakeTriggers> {
    if *triggers == Triggers::default() {
        return None;
    }
    let schedule = triggers.schedule.as_ref();
    Some(wire::BakeTriggers {
        recurrence: schedule.map(|schedule| schedule.recurrence.to_string()).unwrap_or_default(),
        time_zone: schedule.map(|schedule| schedule.zone.to_string()).unwrap_or_default(),
        base_moved: triggers.base_moved,
        images_percent: triggers.images_percent.unwrap_or_default(),
        agent_newer: triggers.agent_newer,
        age_ms: triggers.age.map(millis).unwrap_or_default(),
        apart_ms: millis(triggers.apart),
        look_ms: millis(triggers.look),
        then_refresh: triggers.then_refresh,
    })
}

/// A bake of an earlier release was asked for by somebody.
pub(super) fn cause_from_wire(from: Option<&wire::BakeCause>) -> Valid<Cause> {
    let Some(from) = from else { return Ok(Cause::Asked) };
    Ok(match from.cause.as_ref().at("bake.cause")? {
        WireCause::First(_) => Cause::First,
        WireCause::DueMs(at) => Cause::Due(Timestamp::from_millis(*at)),
        WireCause::Base(moved) => Cause::Base {
            from: moved.from.named("bake.cause.base")?,
            to: moved.to.named("bake.cause.base")?,
        },
        WireCause::ImagesPercent(percent) => Cause::Images(*percent),
        WireCause::Agent(newer) => Cause::Agent { from: seen(&newer.from), to: seen(&newer.to) },
        WireCause::AgeOfMs(at) => Cause::Age(Timestamp::from_millis(*at)),
    })
}

pub(super) fn cause_to_wire(cause: &Cause) -> Option<wire::BakeCause> {
    let cause = match cause {
        Cause::Asked => return None,
        Cause::First => WireCause::First(wire::BakeFirst {}),
        Cause::Due(at) => WireCause::DueMs(at.as_millis()),
        Cause::Base { from, to } => {
            WireCause::Base(wire::BakeFromTo { from: from.to_string(), to: to.to_string() })
        }
        Cause::Images(percent) => WireCause::ImagesPercent(*percent),
        Cause::Agent { from, to } => {
            WireCause::Agent(wire::BakeFromTo { from: from.clone(), to: to.clone() })
        }
        Cause::Age(at) => WireCause::AgeOfMs(at.as_millis()),
    };
    Some(wire::BakeCause { cause: Some(cause) })
}

/// Reads a recipe of which bakes begin by themselves.
///
/// # Errors
/// Says where and what is wrong.
pub fn upkeep_from_wire(from: &wire::Upkeep) -> Valid<Upkeep> {
    let begins = from.begins.as_ref().map(|begins| {
        let bake = begins.bake.named("upkeep.begins.bake")?;
        Ok(Begins { bake, cause: cause_from_wire(begins.cause.as_ref())? })
    });
    Ok(Upkeep {
        recipe: Arc::new(recipe_from_wire(from.recipe.as_ref())?),
        since: Timestamp::from_millis(from.since_ms),
        is_paused: from.paused,
        dealt_until: Timestamp::from_millis(from.dealt_until_ms),
        due: from.due_ms.map(Timestamp::from_millis),
        begins: begins.transpose()?,
        last: from.last.as_ref().map(begun_from_wire).transpose()?,
        failures: from.failures,
        spreads: from.spreads.as_ref().map(spread_from_wire).transpose()?,
    })
}

fn begun_from_wire(from: &wire::BakeBegun) -> Valid<Begun> {
    let outcome = match from.outcome() {
        wire::BakeOutcome::Unspecified => None,
        wire::BakeOutcome::Published => Some(Outcome::Published),
        wire::BakeOutcome::Failed => Some(Outcome::Failed),
        wire::BakeOutcome::Removed => Some(Outcome::Removed),
    };
    Ok(Begun {
        bake: from.bake.named("upkeep.last.bake")?,
        cause: cause_from_wire(from.cause.as_ref())?,
        at: Timestamp::from_millis(from.at_ms),
        release: seen(&from.release),
        outcome,
    })
}

fn spread_from_wire(from: &wire::BakeSpread) -> Valid<Spread> {
    few("upkeep.spreads.pools", from.pools.len())?;
    let pool =
        |one: &wire::BakeSpreadPool| Ok((line("upkeep.spreads.pools", &one.pool)?, one.number));
    let pools = from.pools.iter().map(pool).collect::<Valid<BTreeMap<_, _>>>()?;
    Ok(Spread { ami: from.ami.named("upkeep.spreads.ami")?, pools })
}

/// Writes a recipe of which bakes begin by themselves.
#[must_use]
pub fn upkeep_to_wire(upkeep: &Upkeep) -> wire::Upkeep {
    let begins = upkeep.begins.as_ref().map(|begins| wire::BakeBegins {
        bake: begins.bake.to_string(),
        cause: cause_to_wire(&begins.cause),
    });
    wire::Upkeep {
        recipe: Some(recipe_to_wire(&upkeep.recipe)),
        since_ms: upkeep.since.as_millis(),
        paused: upkeep.is_paused,
        dealt_until_ms: upkeep.dealt_until.as_millis(),
        due_ms: upkeep.due.map(Timestamp::as_millis),
        begins,
        last: upkeep.last.as_ref().map(begun_to_wire),
        failures: upkeep.failures,
        spreads: upkeep.spreads.as_ref().map(spread_to_wire),
    }
}

fn begun_to_wire(begun: &Begun) -> wire::BakeBegun {
    let outcome = match begun.outcome {
        None => wire::BakeOutcome::Unspecified,
        Some(Outcome::Published) => wire::BakeOutcome::Published,
        Some(Outcome::Failed) => wire::BakeOutcome::Failed,
        Some(Outcome::Removed) => wire::BakeOutcome::Removed,
    };
    wire::BakeBegun {
        bake: begun.bake.to_string(),
        cause: cause_to_wire(&begun.cause),
        at_ms: begun.at.as_millis(),
        outcome: outcome.into(),
        release: begun.release.clone(),
    }
}

fn spread_to_wire(spread: &Spread) -> wire::BakeSpread {
    let pools = spread.pools.iter();
    let pools =
        pools.map(|(pool, number)| wire::BakeSpreadPool { pool: pool.clone(), number: *number });
    wire::BakeSpread { ami: spread.ami.to_string(), pools: pools.collect() }
}
