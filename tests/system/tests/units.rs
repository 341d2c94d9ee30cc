//! The systemd units: sound, and as closed as they say.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::program::{built, installed};
use system_tests::{Said, Scratch};

/// What `systemd-analyze security` may say at most, in tenths: 0 is closed, 100 is open. Anything that makes a unit more
/// open than this needs a reason.
const EXPOSURE: &str = "20";

fn units() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|kind| kind == "service")).collect()
}

fn analyze(arguments: &[&str]) -> Said {
    let program = installed("/usr/bin/systemd-analyze", "systemd");
    Said::by(Command::new(program).args(arguments), "")
}

#[test]
fn every_unit_is_as_closed_as_it_can_be() {
    assert_eq!(units().len(), 2);
    for unit in units() {
        let unit = unit.display().to_string();
        let said = analyze(&["security", "--offline=true", "--threshold", EXPOSURE, &unit]);
        assert_eq!(said.code, 0, "{}", said.out);
    }
}

#[test]
fn every_unit_is_understood_and_starts_a_program_that_exists() {
    for unit in units() {
        // The programs are not installed here.
        let name = unit.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&unit).unwrap();
        let installed = format!("ExecStart=/usr/bin/{name}");
        assert!(text.contains(&installed), "{text}");
        let here = format!("ExecStart={}", built(name).display());
        let scratch = Scratch::new();
        let copy = scratch.write(&format!("{name}.service"), &text.replace(&installed, &here));
        let said = analyze(&["verify", "--man=no", &copy.display().to_string()]);
        assert_eq!(said.code, 0, "{}", said.err);
        let about_it = said.err.lines().filter(|line| line.contains(name));
        let complaints: Vec<&str> = about_it.collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
