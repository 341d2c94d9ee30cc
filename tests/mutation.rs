//! The mutation gate: bugs are planted, and the simulation must catch each of them within a bounded number of seeds. One
//! that it does not catch means that an invariant or a fault is missing there.
//!
//! Bugs of the cores are planted in their code, by a table of (file, what stands there, what stands there instead). A
//! build script copies the sources of both cores and plants the whole table in the copies, each bug behind a question
//! about its number. So everything is compiled once more, and not once for each bug; production code has no hooks; and a
//! bug whose place has been rewritten is reported instead of being forgotten. The simulation is compiled here against the
//! copies. Bugs of the rims, which do I/O and are not simulated, are flaws of the simulated rims.

include!(concat!(env!("OUT_DIR"), "/cores.rs"));

#[path = "mutation/mutants.rs"]
mod mutants;
#[path = "simulation/world.rs"]
mod world;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use world::flaw::{FLAWS, Flaw};

/// A bug that lives through so many seeds is not caught. At worst some minutes of one core, for one bug.
const SEEDS: u64 = 4_000;

/// Which seed has caught each bug when somebody looked last: it is tried first, and most seeds need not be. Where the
/// simulation has changed since, it may catch nothing any more, and all are gone through as if nothing had been known.
/// `UPDATE=1` goes through all of them, and writes this file.
const KNOWN: &str = "mutation/seeds.txt";

thread_local! {
    /// The number of the bug that is planted; 0 for none.
    static PLANTED: Cell<usize> = const { Cell::new(0) };
}

/// What the copies of the cores ask at the place of each bug.
fn is_planted(number: usize) -> bool {
    PLANTED.get() == number
}

#[test]
fn every_bug_of_the_table_has_its_place() {
    assert!(LOST.is_empty(), "rewrite these in tests/mutation/mutants.rs: {LOST:#?}");
}

#[test]
fn without_a_bug_nothing_is_caught() {
    let known: BTreeSet<u64> = known().into_iter().map(|(seed, _)| seed).collect();
    for seed in (1..=20).chain(known) {
        assert_eq!(world::run(seed, None), Ok(()));
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is for whoever reads the log of the gate")]
fn every_planted_bug_is_caught() {
    // `BUG=text` tries only those whose names have the text.
    let wanted = std::env::var("BUG").unwrap_or_default();
    let planted = mutants::all().enumerate().map(|(index, bug)| (bug.name, index + 1, None));
    let flawed = FLAWS.iter().map(|(name, flaw)| (*name, 0, Some(*flaw)));
    let is_wanted = |bug: &(&str, usize, Option<Flaw>)| bug.0.contains(&wanted);
    let bugs: Vec<_> = planted.chain(flawed).filter(is_wanted).collect();
    let (next, bugs) = (AtomicUsize::new(0), &bugs);
    let updates = std::env::var_os("UPDATE").is_some();
    let known = if updates { Vec::new() } else { known() };
    let work = || {
        let mut caught = Vec::new();
        while let Some((name, number, flaw)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            PLANTED.set(*number);
            let first = known.iter().find(|(_, of)| of == name).map(|(seed, _)| *seed);
            caught.push((*name, catch(*flaw, first)));
        }
        caught
    };
    let caught: Vec<_> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|one| one.join().expect("bugs are caught")).collect()
    });
    println!("{:<55} {:>5}  caught as", "bug", "seed");
    for (name, caught) in &caught {
        let (seed, how) = caught.clone().unwrap_or((SEEDS, "NOT CAUGHT".to_owned()));
        println!("{name:<55} {seed:>5}  {how:.100}");
    }
    if updates && wanted.is_empty() {
        let lines = bugs.iter().filter_map(|(name, ..)| {
            let (seed, _) = caught.iter().find(|(of, _)| of == name)?.1.as_ref()?;
            Some(format!("{seed} {name}\n"))
        });
        std::fs::write(KNOWN, lines.collect::<String>()).expect("the sources can be written");
    }
    let escaped: Vec<_> = caught.iter().filter(|(_, how)| how.is_none()).collect();
    assert!(escaped.is_empty(), "not caught in {SEEDS} seeds: {escaped:?}");
}

/// What is known: each line is a seed and the name of a bug.
fn known() -> Vec<(u64, String)> {
    let known = read_to_string(KNOWN).expect("it is kept");
    let lines = known.lines().map(|line| line.split_once(' ').expect("a seed and a name"));
    lines.map(|(seed, name)| (seed.parse().expect("a number"), name.to_owned())).collect()
}

/// A seed that goes wrong, and how: the known one, or the first.
fn catch(flaw: Option<Flaw>, known: Option<u64>) -> Option<(u64, String)> {
    known.into_iter().chain(1..=SEEDS).find_map(|seed| {
        let outcome = catch_unwind(AssertUnwindSafe(|| world::run(seed, flaw)));
        let how = outcome.unwrap_or_else(|_| Err("a panic".to_owned())).err()?;
        let how = how.split_once(": ").map(|(_, how)| how.to_owned()).unwrap_or(how);
        Some((seed, how))
    })
}
