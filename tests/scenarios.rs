//! Stories that an operator can read: what is asked for, what goes wrong, and what the coordinator makes of it. Each file of
//! `scenarios/` has commands, which begin with `$`, and after each what it leads to. `UPDATE=1` writes down what is said
//! today; whoever changes a story reads the difference.

#![allow(clippy::unwrap_used, reason = "a scenario that can not be read has failed")]

extern crate coordinator_core;

#[path = "scenario/baking.rs"]
mod baking;
#[path = "scenario/balancers.rs"]
mod balancers;
mod launch;
#[path = "scenario/leases.rs"]
mod leases;
#[path = "scenario/play.rs"]
mod play;
#[path = "scenario/pools.rs"]
mod pools;
#[path = "scenario/refresh.rs"]
mod refresh;
#[path = "scenario/region.rs"]
mod region;
#[path = "scenario/script.rs"]
mod script;
#[path = "scenario/secrets.rs"]
mod secrets;
#[path = "simulation/specs.rs"]
#[allow(dead_code, reason = "made for the simulation, which needs more of it")]
mod specs;

use std::fs;
use std::path::{Path, PathBuf};

use play::Play;
use script::Line;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Plays the commands of a script and gives it back with what they lead to.
fn played(text: &str) -> String {
    let mut play = Play::new();
    let mut told = String::new();
    for line in script::lines(text) {
        match line {
            Line::Comment(comment) => told.push_str(&format!("{comment}\n")),
            Line::Command(command) => {
                told.push_str(&format!("$ {command}\n"));
                for happened in play.obey(&command) {
                    told.push_str(&format!("  {happened}\n"));
                }
            }
        }
    }
    told
}

#[test]
fn every_story_goes_as_it_is_told() {
    let is_asked = std::env::var_os("UPDATE").is_some();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "only {} stories: looked in the wrong place", paths.len());
    let mut differ = Vec::new();
    for path in paths {
        let told = fs::read_to_string(&path).unwrap();
        let played = played(&told);
        if played == told {
            continue;
        }
        if is_asked {
            fs::write(&path, played).unwrap();
        } else {
            differ.push(format!("{}\n{}", path.display(), first_difference(&told, &played)));
        }
    }
    assert!(differ.is_empty(), "{}\nUPDATE=1 writes them down anew", differ.join("\n"));
}

/// Where two texts part, with some lines from before.
fn first_difference(told: &str, played: &str) -> String {
    let (told, played): (Vec<&str>, Vec<&str>) = (told.lines().collect(), played.lines().collect());
    let at = told.iter().zip(&played).take_while(|(one, other)| one == other).count();
    let from = at.saturating_sub(6);
    let show = |lines: &[&str]| lines[from.min(lines.len())..lines.len().min(at + 6)].join("\n");
    format!("told:\n{}\nplayed:\n{}", show(&told), show(&played))
}
