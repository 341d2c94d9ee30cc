//! Recipes of machine images.

use std::path::Path;

use proto::convert::recipe_from_wire;
use proto::wire;
use proto::wire::bake_step::Kind;

use super::super::files::DiskFiles;
use super::super::read_recipe;
use super::memory;

const WHOLE: &str = "
name: web-base
base: {parameter: /aws/service/debian/release/13/latest/amd64}
builder: {type: m7i.large, profile: wharf-builder, coordinator: 'wharf.internal:7421'}
steps:
  - packages: [docker.io]
    retries: 2
  - name: settings
    files: [{path: /etc/motd, mode: '0600', content: hello}, {path: /etc/x, file: x.conf}]
  - script: {file: setup.sh}
    timeout: 90s
images: {budget: 2gb, extra: [nginx:1.27]}
test: {scripts: [{name: web, script: exit 0}]}
publish: {pools: [web], parameter: /wharf/web}
";

fn refused(text: &str) -> String {
    let files = memory(&[("bake.yaml", text)]);
    let errors = read_recipe(Path::new("bake.yaml"), &files).expect_err("it is refused");
    errors.iter().map(|error| format!("{error}\n")).collect()
}

#[test]
fn a_recipe_says_all_that_its_file_says() {
    let files = memory(&[("bake.yaml", WHOLE), ("x.conf", "x"), ("setup.sh", "#!/bin/sh\ntrue\n")]);
    let recipe = read_recipe(Path::new("bake.yaml"), &files).unwrap();
    assert_eq!(recipe.steps.len(), 3);
    assert_eq!((recipe.steps[0].name.as_str(), recipe.steps[0].retries), ("packages 1", 2));
    let Some(Kind::Files(written)) = &recipe.steps[1].kind else { panic!("{:?}", recipe.steps[1]) };
    assert_eq!((written.files[0].mode, written.files[1].content.as_slice()), (0o600, &b"x"[..]));
    assert_eq!(recipe.steps[2].timeout_ms, 90_000);
    let images = recipe.images.unwrap();
    assert!(images.what_runs && images.extra[0].pin.is_none());
    assert_eq!(recipe.publish.unwrap().pools, ["web"]);
}

#[test]
fn what_is_wrong_with_a_recipe_is_shown_where_it_stands() {
    let said =
        refused("name: web\nbase: {owner: amazon}\nbuilder: {type: t, typ: x}\nsteps: [{}]\n");
    assert!(said.contains("bake.yaml:3:20: error: unknown key `typ`"), "{said}");
    assert!(said.contains("bake.yaml:2:7: error: `name` is missing"), "{said}");
    assert!(said.contains("bake.yaml:4:9: error: a step is one of"), "{said}");
    let said = refused("name: web\nbuilder: {type: t}\narchitecture: mips\n");
    assert!(
        said.contains("`base` is missing") && said.contains("`mips` is no architecture"),
        "{said}"
    );
}

const BASE: &str = "name: web\nbase: {parameter: /base}\nbuilder: {type: t, coordinator: 'c:1'}\n";

#[test]
fn what_begins_a_bake_by_itself_is_said_in_a_few_words() {
    let triggers = |text: &str| {
        let text = format!("{BASE}publish: {{pools: [web]}}\n{text}");
        let recipe = read_recipe(Path::new("bake.yaml"), &memory(&[("bake.yaml", &text)])).unwrap();
        recipe_from_wire(Some(&recipe)).unwrap();
        recipe.triggers
    };
    assert_eq!(triggers(""), None);
    let all = triggers(
        "triggers: {schedule: {cron: 30 3 * * sun, time_zone: Europe/Berlin}, base: moved, images: 20%, \
         agent: newer, age: 7d, apart: 2h, look: 5m, then: refresh}\n",
    );
    let expected = wire::BakeTriggers {
        recurrence: "30 3 * * sun".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        base_moved: true,
        images_percent: 20,
        agent_newer: true,
        age_ms: 7 * 86_400_000,
        apart_ms: 7_200_000,
        look_ms: 300_000,
        then_refresh: true,
    };
    assert_eq!(all, Some(expected));
    let usual = triggers("triggers: {schedule: '@daily'}\n").unwrap();
    assert_eq!((usual.apart_ms, usual.look_ms), (3_600_000, 900_000));
    assert_eq!((usual.recurrence.as_str(), usual.time_zone.as_str()), ("@daily", "UTC"));
}

#[test]
fn what_would_never_begin_a_bake_is_refused_where_it_stands() {
    let wrong = [
        ("{}", "nothing here begins a bake"),
        ("{apart: 2h}", "nothing here begins a bake"),
        ("{base: moves}", "`base` is `moved` or left out, and not `moves`"),
        ("{images: 20}", "`20` is not from 1% to 100%"),
        ("{images: 0%}", "`0%` is not from 1% to 100%"),
        ("{age: 10s}", "`10s` is shorter than 60 s"),
        ("{age: 4000d}", "`4000d` is longer than a year"),
        ("{schedule: 0 0 30 2 *}", "there is no such day: it would never run"),
        ("{schedule: {time_zone: UTC}}", "a schedule without `cron`"),
        ("{schedule: {cron: 0 3 * * *, time_zone: Mars}}", "there is no time zone `Mars`"),
        ("{age: 7d, after: x}", "unknown key `after`"),
    ];
    for (triggers, why) in wrong {
        let said = refused(&format!("{BASE}triggers: {triggers}\n"));
        assert!(said.contains("bake.yaml:4:") && said.contains(why), "{triggers}: {said}");
    }
}

/// Both are the same but for what they are for, and their step runs the script that they put into the image.
#[test]
fn the_recipes_that_come_with_wharf_are_good_and_use_the_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ami");
    let setup = std::fs::read(folder.join("setup.sh")).unwrap();
    let recipe = |name: &str| {
        let recipe = read_recipe(&folder.join(name), &DiskFiles).unwrap();
        recipe_from_wire(Some(&recipe)).unwrap();
        recipe
    };
    let (usual, mut arm) = (recipe("bake.yaml"), recipe("bake-arm64.yaml"));
    let Some(Kind::Files(written)) = &usual.steps[0].kind else { panic!("{:?}", usual.steps[0]) };
    assert_eq!((written.files[0].mode, &written.files[0].content), (0o755, &setup));
    let path = &written.files[0].path;
    let Some(Kind::Script(script)) = &usual.steps[1].kind else { panic!("{:?}", usual.steps[1]) };
    assert!(script.ends_with(path) && script.starts_with("WHARF_ADDR="), "{script}");
    let trial = usual.trial.as_ref().unwrap();
    assert_eq!(trial.scripts[0].text, format!("{path} --check"));
    assert_ne!((&usual.base, usual.architecture), (&arm.base, arm.architecture));
    assert!(arm.name.ends_with("-arm64"));
    let rest = (usual.base.clone(), usual.architecture, usual.launch.clone());
    (arm.base, arm.architecture, arm.launch) = rest;
    (arm.name, arm.publish) = (usual.name.clone(), usual.publish.clone());
    assert_eq!(arm, usual);
}
