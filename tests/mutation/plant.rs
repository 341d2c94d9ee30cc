//! Build script: copies the sources of both cores and plants every bug of the table in the copies, each behind a
//! question that the test of the gate answers. The sources themselves are not touched and know nothing of it.
#![allow(clippy::print_stdout, reason = "a build script talks to cargo by its output")]

mod mutants;

use std::fs;
use std::path::{Path, PathBuf};

use mutants::Mutant;

/// Where the sources of a core are, and under which name the gate knows the copy.
const CORES: [(&str, &str); 2] =
    [("agent/core/src", "agent_core"), ("coordinator/core/src", "coordinator_core")];

fn main() {
    let root =
        PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    let mut lost: Vec<&str> = mutants::all().map(|mutant| mutant.name).collect();
    let mut cores = String::new();
    for (sources, name) in CORES {
        println!("cargo::rerun-if-changed={}", root.join(sources).display());
        copy(&root, Path::new(sources), &out.join(name), (name, &mut lost));
        let path = out.join(name).join("lib.rs");
        let why = "a copy is linted where it comes from";
        cores += &format!(
            "#[allow(warnings, clippy::all, reason = {why:?})]\n#[path = {path:?}]\nmod {name};\n"
        );
    }
    cores += &format!(
        "/// Bugs of the table whose place was not found.\nconst LOST: &[&str] = &{lost:?};\n"
    );
    fs::write(out.join("cores.rs"), cores).expect("cargo gives a directory to write to");
}

/// Copies a folder, and strikes the bugs that it could plant off the list.
fn copy(root: &Path, folder: &Path, to: &Path, (name, lost): (&str, &mut Vec<&str>)) {
    fs::create_dir_all(to).expect("cargo gives a directory to write to");
    for entry in fs::read_dir(root.join(folder)).expect("the sources are there") {
        let file = entry.expect("the sources can be read").file_name();
        let (from, to) = (folder.join(&file), to.join(&file));
        if root.join(&from).is_dir() {
            copy(root, &from, &to, (name, lost));
        } else {
            let text = fs::read_to_string(root.join(&from)).expect("a source is text");
            let text = plant(text, &from, lost);
            // A module of the gate instead of a crate, without its own tests and lints.
            let text = text
                .replace("crate::", &format!("crate::{name}::"))
                .replace("PLANTED", "crate::is_planted")
                .replace("#[cfg(test)]", "#[cfg(any())]")
                .replace("#![deny(", "#![warn(");
            fs::write(to, text).expect("cargo gives a directory to write to");
        }
    }
}

fn plant(mut text: String, file: &Path, lost: &mut Vec<&str>) -> String {
    for (index, Mutant { name, file: of, from, to }) in mutants::all().enumerate() {
        if Path::new(of) == file && text.matches(from).count() == 1 {
            text = text.replace(from, &to.replace("PLANTED", &format!("PLANTED({})", index + 1)));
            lost.retain(|known| known != name);
        }
    }
    text
}
