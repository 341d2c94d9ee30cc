//! Machines whose agents are silent, in a region in a box: one is ended when its pool wants that, and never for the silence of all.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use system_tests::fleet::World;
use system_tests::region::{NodeOrder, Pool, ZONES};
use system_tests::{SOON, until};

/// The shortest that can be asked for, and what it takes to decide and to end the machine.
const SILENCE: Duration = Duration::from_secs(120);

fn explained(world: &World, node: &str) -> String {
    world.cluster.wharf(&["explain", node]).good()
}

/// Where the only task runs, or is said to.
fn places(world: &World) -> BTreeSet<String> {
    let tasks = world.cluster.live();
    tasks.iter().filter_map(|task| task["node"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_silent_machine_is_ended_before_its_only_task_runs_elsewhere_and_a_silent_zone_is_left_alone() {
    let world = World::start();
    world.create_group(&Pool { size: 6, zones: &ZONES[..2], ..Pool::default() });
    let refused = world.cluster.wharf(&[
        "pool",
        "add",
        "web",
        "--unreachable",
        "end",
        "--unreachable-after",
        "1m",
    ]);
    assert!(refused.err.contains("is silent from 120 s"), "{}{}", refused.out, refused.err);
    let wanted = ["pool", "add", "web", "--unreachable", "end", "--unreachable-after", "2m"];
    let _added = world.cluster.wharf(&wanted).good();
    let before = world.are_ready(6);
    world.has_hooks();
    let shown = world.cluster.wharf(&["pool", "inspect", "web"]).good();
    assert!(shown.contains("unreachable end after 2m"), "{shown}");
    world.deploy(1);
    let hung = places(&world).pop_first().unwrap();
    let zone = world.region.instance(&hung).zone;
    let others = before.iter().filter(|id| world.region.instance(id).zone != zone);
    let others: BTreeSet<String> = others.cloned().collect();
    assert_eq!(others.len(), 3, "a group spreads its machines evenly");
    let began = Instant::now();
    others.iter().chain([&hung]).for_each(|id| world.region.order(id, NodeOrder::Hang));
    until("its silence is counted", SOON * 2, || {
        let why = explained(&world, &hung);
        if why.contains("ended in") { Ok(()) } else { Err(why) }
    });
    let other = others.first().unwrap();
    until("the zone is seen to be silent", SOON, || {
        let why = explained(&world, other);
        if why.contains("its zone, or everybody, is silent") { Ok(()) } else { Err(why) }
    });
    until("its machine is gone", SILENCE + SOON, || {
        let state = world.region.instance(&hung).state;
        // Asked before the state was: what is elsewhere by then has come before the end.
        let (places, after) = (places(&world), world.region.instance(&hung).state);
        let is_there = after != "terminated";
        assert!(!is_there || places.iter().all(|node| *node == hung), "{places:?} while {after}");
        if state == "terminated" { Ok(()) } else { Err(format!("{state}, {}", world.events())) }
    });
    let ended = began.elapsed();
    assert!(ended >= SILENCE, "it was ended after {ended:?}");
    world.serve_elsewhere(1, &BTreeSet::from([hung.clone()]));
    eprintln!("ended {ended:.0?} after its last word, served elsewhere {:.0?}", began.elapsed());
    let events = world.events();
    assert!(events.contains("nobody can empty it"), "{events}");
    until("another is in its place", SOON * 2, || {
        let members = world.region.members("web");
        let serving = members.iter().filter(|one| one.lifecycle_state == "InService").count();
        if serving == 6 { Ok(()) } else { Err(format!("{members:?}")) }
    });
    let calls = world.region.calls();
    assert_eq!(calls["autoscaling.TerminateInstanceInAutoScalingGroup"], 1, "{calls:?}");
    for id in &others {
        assert_eq!(world.region.instance(id).lifecycle_state, "InService", "{id}");
        world.region.order(id, NodeOrder::Wake);
    }
    let now = world.are_ready(6);
    assert!(others.is_subset(&now) && !now.contains(&hung), "{now:?}");
}
