//! Many machines: how fast they join, and what they cost at AWS.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::fleet::World;
use system_tests::region::Pool;
use system_tests::until;

/// A hundred agents on one machine, with everything else that it does.
const LONG: Duration = Duration::from_secs(300);
/// So often the cloud is looked at while nothing moves, in an hour.
const LOOKS_AN_HOUR: f64 = 120.0;
/// What is counted goes on for so many looks.
const LOOKS: u64 = 4;

#[test]
fn a_hundred_machines_that_come_at_once_are_all_let_in() {
    let world = World::start();
    world.create_group(&Pool { size: 0, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    world.has_hooks();
    let began = Instant::now();
    world.region.set_desired("web", 100);
    until("a hundred agents run", LONG, || {
        let running = world.region.nodes().iter().filter(|node| node.pid.is_some()).count();
        if running == 100 { Ok(()) } else { Err(format!("{running} do")) }
    });
    let begun = began.elapsed();
    until("a hundred nodes are ready", LONG, || {
        let ready = world.nodes("ready").len();
        if ready == 100 { Ok(()) } else { Err(format!("{ready} are")) }
    });
    let joined = began.elapsed();
    until("a hundred machines are in service", LONG, || {
        let members = world.region.members("web");
        let serving = members.iter().filter(|one| one.lifecycle_state == "InService").count();
        if serving == 100 { Ok(()) } else { Err(format!("{serving} are")) }
    });
    let measured = json!({
        "bench": "join_storm",
        "nodes": 100,
        "agents_begun_s": begun.as_secs_f64(),
        "joined_s": joined.as_secs_f64(),
        "in_service_s": began.elapsed().as_secs_f64(),
        "goal_s": 30,
    });
    eprintln!("{measured}");
    let answered = world.region.calls()["autoscaling.CompleteLifecycleAction"];
    assert_eq!(answered, 100, "each is let in once");
}

/// What is asked of AWS for a pool of so many machines with which nothing happens, for each look at them.
fn calls_a_look(world: &World, name: &str, size: u32) -> BTreeMap<String, f64> {
    // No agent: what a machine does is not asked of AWS, and a pool of machines that are no nodes is looked at like any other.
    world.region.create_pool(&Pool { name, size, max: 600, ..Pool::default() });
    let began = Instant::now();
    until("the machines are in service", LONG, || {
        let members = world.region.members(name);
        let serving = members.iter().filter(|one| one.lifecycle_state == "InService").count();
        if serving == size as usize { Ok(()) } else { Err(format!("{serving} are")) }
    });
    eprintln!("{size} machines after {:.1?}", began.elapsed());
    let _added = world.cluster.wharf(&["pool", "add", name]).good();
    let looked = || {
        let calls = world.region.calls();
        calls.get("autoscaling.DescribeAutoScalingGroups").copied().unwrap_or_default()
    };
    until("the pool is shown with its machines", LONG, || {
        let pool = world.cluster.wharf(&["pool", "inspect", name, "-o", "json"]).json();
        let shown = pool["instances"].as_array().map_or(0, Vec::len);
        let hooks = pool["group"]["hooks"].as_array().map_or(0, Vec::len);
        if (shown, hooks) == (size as usize, 2) {
            Ok(())
        } else {
            Err(format!("{shown} machines, {hooks} hooks"))
        }
    });
    // Letters about the launches may still be read meanwhile, which idle machines do not bring; looks have none of that.
    // What was moved by the adoption has been looked at closely, and rests.
    world.region.forget_calls();
    until("it is looked at", LONG, || if looked() > 0 { Ok(()) } else { Err(String::new()) });
    world.region.forget_calls();
    until("it is looked at again and again", LONG, || {
        if looked() >= LOOKS { Ok(()) } else { Err(format!("{}", looked())) }
    });
    let calls = world.region.calls();
    let _gone = world.cluster.wharf(&["pool", "rm", name, "-y"]).good();
    let looks = calls["autoscaling.DescribeAutoScalingGroups"];
    calls.into_iter().map(|(call, count)| (call, count as f64 / looks as f64)).collect()
}

#[test]
fn five_hundred_idle_machines_cost_no_more_calls_than_two_but_for_pages() {
    let world = World::start();
    let few = calls_a_look(&world, "few", 2);
    let many = calls_a_look(&world, "many", 500);
    let describes = |calls: &BTreeMap<String, f64>| -> f64 {
        calls.iter().filter(|(call, _)| !call.starts_with("sqs.")).map(|(_, count)| count).sum()
    };
    let hourly: BTreeMap<&String, Value> =
        many.iter().map(|(call, count)| (call, json!((count * LOOKS_AN_HOUR).round()))).collect();
    let measured = json!({
        "bench": "api_calls",
        "machines": 500,
        "an_hour": hourly,
        "describes_an_hour": describes(&many) * LOOKS_AN_HOUR,
        "of_two_machines": describes(&few) * LOOKS_AN_HOUR,
    });
    eprintln!("{measured}");
    // Machines are asked for a hundred or more at a time.
    assert!(describes(&many) <= describes(&few) + 5.0, "{few:?} and {many:?}");
}
