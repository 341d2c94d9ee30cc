//! Pools that are as large as they need to be, in a region in a box.
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

/// Tasks of which each needs a machine of its own.
fn shop(replicas: usize, budget: &str) -> String {
    format!(
        "name: shop\nservices:\n  web:\n    image: {IMAGE}\n    command: [sleep, '2147483647']\n    {budget}\n    \
         deploy: {{replicas: {replicas}, update_config: {{monitor: 1s}}, placement: {{max_replicas_per_node: 1}}}}\n"
    )
}

#[test]
fn a_pool_that_can_launch_nothing_is_passed_over_for_the_next() {
    let world = World::with_pool(1);
    world.create_group(&Pool { name: "cheap", size: 1, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "cheap", "--scale", "out"]).good();
    let _set = world.cluster.wharf(&["pool", "set", "web", "--scale", "out"]).good();
    until("both machines are ready", SOON * 2, || {
        let ready = world.nodes("ready");
        if ready.len() == 2 { Ok(()) } else { Err(format!("{ready:?}")) }
    });
    let message = "We currently do not have sufficient t3.micro capacity.";
    let code = "InsufficientInstanceCapacity";
    world
        .region
        .fault(&json!({ "kind": "launch", "group": "cheap", "code": code, "message": message }));
    let _deployed = world.cluster.deploy_with(&shop(3, ""), &["--detach"]).good();
    let began = Instant::now();
    until("a machine is asked for", SOON, || {
        let asked = world.region.calls().get("autoscaling.SetDesiredCapacity").copied();
        if asked.is_some_and(|asked| asked > 0) { Ok(()) } else { Err(format!("{asked:?}")) }
    });
    let requested = began.elapsed();
    eprintln!("a launch was requested {requested:.2?} after the deployment was accepted");
    assert!(requested < Duration::from_secs(2), "{requested:?}");
    world.serve_elsewhere(3, &BTreeSet::new());
    eprintln!("the other pool served after {:.1?}", began.elapsed());
    assert_eq!(world.region.members("web").len(), 2);
    assert_eq!(world.region.members("cheap").len(), 1);
    let told = world.cluster.wharf(&["pool", "inspect", "cheap"]).good();
    assert!(told.contains("can not launch machines"), "{told}");
    assert!(told.contains("for 2 machines instead of 1"), "{told}");
}

#[test]
fn a_machine_that_nothing_needs_is_emptied_within_the_budget_and_ended() {
    let world = World::with_pool(3);
    let budget = "x-wharf: {min_available: 3}";
    let spread = shop(3, budget).replace(", placement: {max_replicas_per_node: 1}", "");
    let _deployed = world.cluster.deploy_with(&spread, &[]).good();
    let before = world.are_ready(3);
    let arguments =
        ["pool", "set", "web", "--scale", "in", "--min", "2", "--scale-in-after", "30s"];
    let _set = world.cluster.wharf(&arguments).good();
    let planned = world.cluster.wharf(&["pool", "plan", "web"]);
    assert_eq!(planned.code, 2, "{}{}", planned.out, planned.err);
    assert!(planned.out.contains("1 of 3 machines could be done without"), "{}", planned.out);
    let mut fewest = usize::MAX;
    until("a machine is gone", SOON * 3, || {
        let tasks = world.cluster.live();
        fewest = fewest.min(tasks.iter().filter(|task| task["state"] == "running").count());
        let members = world.region.members("web");
        if members.len() == 2 { Ok(()) } else { Err(format!("{members:?}\n{}", world.events())) }
    });
    assert!(fewest >= 3, "only {fewest} tasks ran at a time");
    let gone = world.have_left(&before, 1);
    world.serve_elsewhere(3, &gone);
    let events = world.events();
    let left = gone.first().unwrap();
    assert!(events.contains(&format!("nothing needs {left}")), "{events}");
    assert!(!events.contains("stopped, whatever their services can spare"), "{events}");
    let planned = world.cluster.wharf(&["pool", "plan", "web"]);
    assert_eq!(planned.code, 0, "{}{}", planned.out, planned.err);
    let here = world.are_ready(2);
    let why = world.cluster.wharf(&["explain", here.first().unwrap()]).good();
    assert!(why.contains("web has 2 machines, and 2 is the least"), "{why}");
    until("the group is seen to want two", SOON, || {
        let pool = world.pool();
        if pool["group"]["desired"] == 2 { Ok(()) } else { Err(format!("{pool:#}")) }
    });
    assert_eq!(world.region.calls()["autoscaling.TerminateInstanceInAutoScalingGroup"], 1);
}
