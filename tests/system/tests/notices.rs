//! What machines have to expect, heard by their agents from the metadata service: nothing is lost with a letter, and a coordinator
//! that is away costs no container its grace.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::docker::IMAGE;
use system_tests::fleet::World;
use system_tests::region::Pool;
use system_tests::{SOON, until};

/// The notice of EC2.
const NOTICE: Duration = Duration::from_secs(120);

fn spot(size: u32) -> (World, BTreeSet<String>) {
    let world = World::start();
    world.create_group(&Pool { size, spot: true, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    let members = world.are_ready(size as usize);
    world.has_hooks();
    (world, members)
}

/// No letter arrives from now on.
fn lose_letters(world: &World) {
    world.region.fault(&json!({ "kind": "message", "effect": "lose" }));
}

/// F27 for notices: nothing but the agent can say this.
#[test]
fn f27_a_spot_notice_whose_letter_is_lost_is_heard_from_the_agent() {
    let (world, before) = spot(3);
    world.deploy(3);
    lose_letters(&world);
    let taken = before.first().unwrap().clone();
    let began = Instant::now();
    world.region.interrupt_spot(&taken);
    world.serve_elsewhere(3, &BTreeSet::from([taken.clone()]));
    eprintln!("all run elsewhere after {:.1?}", began.elapsed());
    assert_eq!(world.region.instance(&taken).state, "running", "its two minutes are not over");
    let events = world.events();
    assert!(events.contains("because the cloud takes its machine back"), "{events}");
}

#[test]
fn a_machine_at_risk_is_closed_where_its_pool_wants_that_and_no_letter_comes() {
    let (world, before) = spot(2);
    let _set = world.cluster.wharf(&["pool", "set", "web", "--at-risk", "close"]).good();
    let shown = world.cluster.wharf(&["pool", "inspect", "web"]).good();
    assert!(shown.contains("at risk     close"), "{shown}");
    lose_letters(&world);
    let warned = before.first().unwrap();
    world.region.recommend_rebalance(warned);
    until("the machine is closed, and not emptied", SOON, || {
        let nodes = world.cluster.wharf(&["node", "ls", "-o", "json"]).json();
        let node = nodes.as_array().unwrap().iter().find(|node| node["id"] == **warned);
        let is_closed = node.is_some_and(|node| node["availability"] == "cordoned");
        if is_closed { Ok(()) } else { Err(format!("{nodes:#}")) }
    });
    let events = world.events();
    assert!(!events.contains("is being emptied"), "{events}");
}

/// How the containers of a machine have ended: when, and with which code. None for those that run.
fn ends(world: &World, instance: &str) -> Vec<Option<String>> {
    let filter = format!("label=wharf.node={instance}");
    let listed = world.region.docker().try_run(&["ps", "-aq", "--filter", &filter]).out;
    let ended = |id: &str| {
        let format = "{{.State.Running}} {{.State.ExitCode}}";
        let said = world.region.docker().try_run(&["inspect", "--format", format, id]).out;
        said.trim().strip_prefix("false ").map(str::to_owned)
    };
    listed.split_whitespace().map(ended).collect()
}

/// A program that needs two of its ten seconds' grace to end well, and is ended badly by everything but a request to stop.
const THOROUGH: &str = "trap 'sleep 2; exit 42' TERM; while :; do sleep 1; done";

#[test]
fn with_its_coordinator_gone_an_interrupted_machine_stops_its_containers_in_time() {
    let (mut world, before) = spot(2);
    let file = format!(
        "name: lab\nservices:\n  app:\n    image: {IMAGE}\n    command: [sh, -c, \"{THOROUGH}\"]\n    \
         stop_grace_period: 10s\n    deploy: {{replicas: 4, update_config: {{monitor: 1s}}}}\n"
    );
    let _deployed = world.cluster.deploy(&file).good();
    let taken = before.first().unwrap().clone();
    let other = before.last().unwrap().clone();
    assert_eq!(ends(&world, &taken), [None, None]);
    world.cluster.kill_coordinator();
    let began = Instant::now();
    world.region.interrupt_spot(&taken);
    let ended = until("its containers have ended", NOTICE, || {
        let ends = ends(&world, &taken);
        if ends.iter().all(Option::is_some) { Ok(ends) } else { Err(format!("{ends:?}")) }
    });
    let after = began.elapsed();
    eprintln!("ended {after:.1?} after the notice");
    assert_eq!(world.region.instance(&taken).state, "running", "its two minutes are not over");
    assert_eq!(ended, [Some("42".to_owned()), Some("42".to_owned())], "each had its grace");
    assert!(after > NOTICE / 2, "until then they have served");
    assert_eq!(ends(&world, &other), [None, None], "nobody else is concerned");
    // Who leads again hears what has become of them, and makes others.
    world.cluster.start_coordinator();
    world.serve_elsewhere(4, &BTreeSet::from([taken]));
}

#[test]
fn three_of_ten_spot_machines_are_taken_back_at_once_and_their_tasks_run_elsewhere_in_time() {
    let (world, before) = spot(10);
    world.deploy(20);
    let taken: BTreeSet<String> = before.iter().take(3).cloned().collect();
    let began = Instant::now();
    taken.iter().for_each(|instance| world.region.interrupt_spot(instance));
    world.serve_elsewhere(20, &taken);
    let moved = began.elapsed();
    eprintln!("20 tasks run on the seven others after {moved:.1?}");
    assert!(moved < NOTICE, "EC2 waits for nobody");
    for instance in &taken {
        assert_eq!(world.region.instance(instance).state, "running", "before its end");
    }
    until("nothing of ours runs on them", NOTICE, || {
        let running: Vec<_> = taken.iter().flat_map(|one| ends(&world, one)).collect();
        if running.iter().all(Option::is_some) { Ok(()) } else { Err(format!("{running:?}")) }
    });
}
