//! A whole cluster in one thread from one seed: both cores as they are, engines that fail, agents and coordinators that
//! crash within their writes, a network that loses and overtakes, a store that is lost, and operators who know nothing
//! of all that. `SEED=n cargo test --workspace --test simulation` replays one seed; `SEEDS=n` runs so many, and with
//! `TRAIL=text` the last things that happened to what the text names are shown when a replayed seed fails.

extern crate agent_core;
extern crate coordinator_core;

#[path = "simulation/world.rs"]
mod world;

use std::thread;

/// Seven and a half minutes on two cores.
const SEEDS: u64 = 3_000;

#[test]
fn every_seed_keeps_the_invariants_and_converges() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        let wanted = std::env::var("TRAIL").unwrap_or_default();
        let (outcome, trail) = world::replay(seed, wanted);
        return assert!(outcome.is_ok(), "{}\n{}", trail.join("\n"), outcome.unwrap_err());
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let broken: Vec<String> = thread::scope(|scope| {
        let live = |first| {
            let mut seeds = (1..=seeds).skip(first).step_by(threads);
            move || seeds.find_map(|seed| world::run(seed, None).err())
        };
        let lives: Vec<_> = (0..threads).map(|first| scope.spawn(live(first))).collect();
        let ends = lives.into_iter().map(|life| life.join().expect("a core has panicked"));
        ends.flatten().collect()
    });
    assert!(broken.is_empty(), "{broken:#?}");
}
