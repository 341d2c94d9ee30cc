//! Files that people write, and all that can be made out of them.

#[path = "../../../../../tests/fuzz/replay.rs"]
mod replay;

use std::path::{Path, PathBuf};

use proto::convert::recipe_from_wire;

use self::replay::{corpus, replay};
use super::super::read_recipe;
use super::{memory, random};

fn inputs(name: &str) -> Vec<Vec<u8>> {
    corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name))
}

#[test]
fn t14_a_compose_file_that_was_changed_is_read_as_a_whole_or_refused_with_errors() {
    replay("compose files", &inputs("compose"), (3_000, &random::run));
}

#[test]
fn t14_a_recipe_that_was_changed_is_read_or_refused_with_errors() {
    let path = PathBuf::from("bake.yaml");
    let read = |bytes: &[u8]| {
        let mut files = memory(&[("x.conf", "x"), ("setup.sh", "#!/bin/sh\n")]);
        files.0.insert("/srv/shop/bake.yaml".into(), bytes.to_vec());
        match read_recipe(&path, &files) {
            // What can be written may still be refused, by name.
            Ok(recipe) => drop(recipe_from_wire(Some(&recipe))),
            Err(errors) => assert!(!errors.is_empty(), "refused without an error"),
        }
    };
    replay("recipes", &inputs("recipe"), (5_000, &read));
}
