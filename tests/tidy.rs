//! The house rules that a compiler does not know: what each file opens with, how long it may be, who may import whom.
#![allow(clippy::unwrap_used, reason = "a test that can not read the tree has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Past this a file has a second subject.
const LINES_LIMIT: usize = 600;

/// Python says the same in fewer lines.
const PYTHON_LIMIT: usize = 500;

/// Package, and what of this workspace it may depend on.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("agent-core", &["model"]),
    ("coordinator-core", &["model"]),
    ("proto", &["model"]),
    ("trust", &["model"]),
    ("agent", &["model", "agent-core", "proto", "trust"]),
    ("heap", &[]),
    ("cloud", &["model"]),
    ("coordinator", &["model", "cloud", "coordinator-core", "proto", "trust", "heap"]),
    ("cli", &["model", "proto", "trust", "agent", "coordinator"]),
    ("tests", &["model", "agent-core", "coordinator-core"]),
    // The core of the coordinator for the benchmark of its decisions alone.
    ("system-tests", &["model", "proto", "trust", "coordinator-core"]),
];

#[test]
fn every_source_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

#[test]
fn no_file_has_grown_a_second_subject() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_LIMIT, "{} has {lines} lines of {LINES_LIMIT}", path.display());
    }
}

#[test]
fn no_file_is_named_after_nothing() {
    for (path, _) in sources() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_vague = ["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs"].contains(&name);
        assert!(!is_vague, "{} says nothing by its name", path.display());
    }
}

/// The region in a box is Python, and as tidy.
#[test]
fn every_module_of_python_says_what_it_is_for_and_is_short() {
    let modules = files(&root().join("tests/system/region"), ".py");
    assert!(modules.len() > 20, "found only {} modules", modules.len());
    for path in modules {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(text.starts_with("\"\"\""), "{} does not say what it is for", path.display());
        assert!(lines <= PYTHON_LIMIT, "{} has {lines} lines of {PYTHON_LIMIT}", path.display());
    }
}

#[test]
fn packages_import_only_what_their_layer_may() {
    let known: Vec<&str> = IMPORTS.iter().map(|(name, _)| *name).collect();
    for path in files(&root(), "Cargo.toml") {
        let text = fs::read_to_string(&path).unwrap();
        let Some(name) = text.lines().find_map(|line| line.strip_prefix("name = ")) else {
            continue;
        };
        let name = name.trim_matches('"');
        let allowed = IMPORTS.iter().find(|(package, _)| *package == name);
        let (_, allowed) =
            allowed.unwrap_or_else(|| panic!("{name} is not in the table of layers"));
        for line in text.lines() {
            let word = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_ours = known.contains(&word) && line.contains("workspace");
            let may = !is_ours || allowed.contains(&word);
            assert!(may, "{}: `{line}` crosses the layers", path.display());
        }
    }
}

/// A promise whose test has another name by now is one that nobody looks after.
#[test]
fn every_test_that_a_promise_of_security_names_is_there() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, promises) = page.split_once("## Threats").unwrap();
    let (promises, _) = promises.split_once("## What is not promised").unwrap();
    let is_test = |word: &&str| word.matches('_').count() > 2 && !word.contains('/');
    let named: BTreeSet<&str> = promises.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 20, "only {named:?}");
    let sources = sources();
    for test in named {
        let declared = format!("fn {test}(");
        let is_there = sources.iter().any(|(_, text)| text.contains(&declared));
        assert!(is_there, "SECURITY.md promises {test}, which is no test");
    }
    let rows = promises.lines().filter(|line| line.starts_with("| T"));
    assert!(rows.clone().count() > 5 && rows.clone().all(|row| row.matches("_").count() > 2));
}

/// A second provider in the tree makes rustls refuse to choose at run time, and two libraries have the faults of both.
#[test]
fn one_library_does_the_cryptography_of_connections() {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--workspace", "--locked", "--offline", "--edges", "all"]);
    tree.args(["--prefix", "none", "--format", "{p}"]).current_dir(root());
    let said = tree.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let packages: BTreeSet<&str> =
        said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(packages.contains("rustls") && packages.contains("aws-lc-rs"), "{packages:?}");
    for other in ["ring", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!packages.contains(other), "{other} is in the tree: cargo tree --invert {other}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let paths = files(&root(), ".rs");
    assert!(paths.len() > 5, "found only {} source files: looked in the wrong place", paths.len());
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if path.is_file() && name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
