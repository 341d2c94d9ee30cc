//! A whole cluster in one thread from one seed: operators, agents that fail and lose messages, nodes that die, a
//! coordinator that crashes within its writes. `SEED=n cargo test --test simulation` replays one seed.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "simulation/chance.rs"]
mod chance;
#[path = "simulation/world.rs"]
mod world;

use world::World;

/// About twenty seconds on two cores; more by hand, with another number here.
const SEEDS: u64 = 600;
const STEPS: u32 = 120;

#[test]
fn every_seed_keeps_the_invariants_and_converges() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..=seed).unwrap(),
        Err(_) => 1..=SEEDS,
    };
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.disturb();
            world.step();
        }
        world.heal();
        world.assert_converged();
    }
}
