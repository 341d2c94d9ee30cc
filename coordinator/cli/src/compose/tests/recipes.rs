//! Recipes of machine images.

use std::path::Path;

use proto::wire::bake_step::Kind;

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
