//! What can be said of a bake that begins by itself and would never begin, or all the time.

use proto::convert::recipe_from_wire;
use proto::wire;
use proto::wire::recipe::Base;

fn recipe() -> wire::Recipe {
    let launch = wire::BakeLaunch {
        instance_type: "m7i.large".to_owned(),
        coordinator: "10.0.0.1:7421".to_owned(),
        ..Default::default()
    };
    wire::Recipe {
        name: "web".to_owned(),
        base: Some(Base::Parameter("/base".to_owned())),
        architecture: wire::Architecture::X8664.into(),
        launch: Some(launch),
        steps: Vec::new(),
        images: Some(wire::BakeImages::default()),
        trial: Some(wire::BakeTrial { scripts: Vec::new(), within_ms: 60_000 }),
        publish: Some(wire::BakePublish { pools: vec!["web".to_owned()], ..Default::default() }),
        triggers: Some(wire::BakeTriggers {
            base_moved: true,
            apart_ms: 3_600_000,
            look_ms: 900_000,
            then_refresh: true,
            ..Default::default()
        }),
    }
}

fn triggers(recipe: &mut wire::Recipe) -> &mut wire::BakeTriggers {
    recipe.triggers.as_mut().unwrap()
}

#[test]
fn what_would_begin_no_bake_or_one_all_the_time_is_refused() {
    type Spoil = (fn(&mut wire::Recipe), &'static str);
    assert!(recipe_from_wire(Some(&recipe())).is_ok());
    let spoils: [Spoil; 9] = [
        (|one| one.base = Some(Base::Id("ami-1".to_owned())), "recipe.triggers.base: "),
        (|one| one.publish = Some(wire::BakePublish::default()), "recipe.triggers.then: "),
        (|one| triggers(one).images_percent = 101, "recipe.triggers.images: "),
        (|one| triggers(one).apart_ms = 59_999, "recipe.triggers.apart: "),
        (|one| triggers(one).look_ms = 0, "recipe.triggers.look: "),
        (|one| triggers(one).look_ms = 90_000_000, "recipe.triggers.look: "),
        (|one| triggers(one).age_ms = 1, "recipe.triggers.age: "),
        (|one| triggers(one).recurrence = "0 0 30 2 *".to_owned(), "recipe.triggers.schedule: "),
        (
            |one| {
                triggers(one).recurrence = "@daily".to_owned();
                triggers(one).time_zone = "Mars/Olympus\u{202e}".to_owned();
            },
            "recipe.triggers.schedule: ",
        ),
    ];
    for (spoil, why) in spoils {
        let mut recipe = recipe();
        spoil(&mut recipe);
        let said = recipe_from_wire(Some(&recipe));
        let said = said.map_or_else(|error| error.to_string(), |_| "taken".to_owned());
        assert!(
            said.starts_with(why) && !said.contains('\u{202e}'),
            "expected {why:?}, got {said:?}"
        );
    }
}
