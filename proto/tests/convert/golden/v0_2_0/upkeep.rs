//! Recipes of which bakes begin by themselves, with every reason, and a bake that has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::bake::{
    Bake, BakePhase, BaseSource, Begins, Begun, Cause, Outcome, Recipe, Spread, Triggers, Upkeep,
};
use model::schedule::{CatchUp, Overlap, Schedule};

use super::super::Records;
use super::super::stored::Stored;
use super::{at, bake};

fn recipe() -> Recipe {
    let schedule = Schedule {
        recurrence: "30 3 * * sun".parse().unwrap(),
        zone: "Europe/Berlin".parse().unwrap(),
        overlap: Overlap::Forbid,
        catch_up: CatchUp::default(),
    };
    let triggers = Triggers {
        schedule: Some(schedule),
        base_moved: true,
        images_percent: Some(20),
        agent_newer: true,
        age: Some(Duration::from_secs(7 * 86_400)),
        apart: Duration::from_secs(7_200),
        look: Duration::from_secs(600),
        then_refresh: true,
    };
    Recipe { triggers, ..bake::recipe(BaseSource::Parameter("/aws/service/debian".to_owned())) }
}

fn moved() -> Cause {
    Cause::Base {
        from: "ami-0123456789abcdef0".parse().unwrap(),
        to: "ami-0fedcba9876543210".parse().unwrap(),
    }
}

/// One whose last bake began for this reason and has ended so.
fn after(cause: Cause, outcome: Option<Outcome>) -> Upkeep {
    let last = Begun {
        bake: "web-20261126-221530".parse().unwrap(),
        cause,
        at: at(60),
        release: "0.2.0".to_owned(),
        outcome,
    };
    Upkeep {
        recipe: Arc::new(recipe()),
        since: at(0),
        is_paused: false,
        dealt_until: at(120),
        due: None,
        begins: None,
        last: Some(last),
        failures: 0,
        spreads: None,
    }
}

pub(crate) fn records() -> Records {
    let agent = Cause::Agent { from: "0.1.0".to_owned(), to: "0.2.0".to_owned() };
    let begins = Begins { bake: "web-20261127-221530".parse().unwrap(), cause: moved() };
    let spreads = Spread {
        ami: "ami-0aaaaaaaaaaaaaaaa".parse().unwrap(),
        pools: BTreeMap::from([("batch".to_owned(), None), ("web".to_owned(), Some(3))]),
    };
    let paused = Upkeep {
        is_paused: true,
        due: Some(at(120)),
        failures: 2,
        ..after(Cause::Age(at(30)), Some(Outcome::Failed))
    };
    let begun = bake::bake(recipe(), BakePhase::Resolving);
    let Stored::Bake(begun) = begun else { panic!("{begun:?}") };
    vec![
        ("upkeep-baking", Stored::Upkeep(after(Cause::First, None))),
        ("upkeep-paused", Stored::Upkeep(paused)),
        ("upkeep-removed", Stored::Upkeep(after(Cause::Images(42), Some(Outcome::Removed)))),
        (
            "upkeep-begins",
            Stored::Upkeep(Upkeep {
                begins: Some(begins),
                ..after(agent, Some(Outcome::Published))
            }),
        ),
        (
            "upkeep-spreads",
            Stored::Upkeep(Upkeep {
                spreads: Some(spreads),
                ..after(Cause::Due(at(30)), Some(Outcome::Published))
            }),
        ),
        ("bake-by-itself", Stored::Bake(Bake { cause: moved(), ..begun })),
    ]
}
