//! Auto Scaling groups as pools, in a region in a box: real machines' agents, a real coordinator, the SDK of AWS.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::docker::IMAGE;
use system_tests::fleet::World;
use system_tests::region::{NodeOrder, Pool, Service};
use system_tests::{SOON, until};

#[test]
fn a_group_is_adopted_and_its_machines_become_nodes_before_they_count() {
    let world = World::start();
    world.create_group(&Pool { size: 1, ..Pool::default() });
    let planned = world.cluster.wharf(&["pool", "add", "web", "--plan"]);
    assert_eq!(planned.code, 2, "{}{}", planned.out, planned.err);
    assert!(planned.out.contains("would set hook wharf-launching"), "{}", planned.out);
    let none = world.cluster.wharf(&["pool", "ls", "-o", "json"]).json();
    assert_eq!(none, json!([]));
    let missing = world.cluster.wharf(&["pool", "add", "nosuch"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("no Auto Scaling group nosuch"), "{}", missing.err);
    world.create_group(&Pool { name: "warm", size: 0, ..Pool::default() });
    let warm = [("AutoScalingGroupName", "warm"), ("PoolState", "Stopped"), ("MinSize", "0")];
    world.region.call(Service::AutoScaling, "PutWarmPool", &warm).unwrap();
    let refused = world.cluster.wharf(&["pool", "add", "warm"]);
    assert!(refused.err.contains("has a warm pool"), "{}{}", refused.out, refused.err);
    let _added = world.cluster.wharf(&["pool", "add", "web", "--drain-within", "2m"]).good();
    world.are_ready(1);
    world.has_hooks();
    let again = world.cluster.wharf(&["pool", "add", "web"]);
    assert!(again.err.contains("is a pool already"), "{}", again.err);
    let same = world.cluster.wharf(&["pool", "set", "web", "--drain-within", "2m", "--plan"]);
    assert_eq!((same.code, same.out.as_str()), (0, ""));
    world.region.set_desired("web", 3);
    let members = world.are_ready(3);
    // Whoever joins only now is described by the next look. Those of the warm pool may have joined before they were stopped.
    until("all nodes are as the cloud says", SOON, || {
        let nodes = world.cluster.wharf(&["node", "ls", "-o", "json"]).json();
        let is_told =
            |node: &Value| node["pool"] == "web" && node["labels"]["lifecycle"] == "on-demand";
        let ready = nodes.as_array().unwrap().iter().filter(|node| node["state"] == "ready");
        let ready: Vec<&Value> = ready.collect();
        let is_so = ready.len() == 3 && ready.into_iter().all(is_told);
        if is_so { Ok(()) } else { Err(format!("{nodes:#}")) }
    });
    let events = world.events();
    assert_eq!(events.matches("is let into web: tasks can run there").count(), 2, "{events}");
    let pool = world.pool();
    assert_eq!((pool["ready"].as_u64(), pool["group"]["desired"].as_u64()), (Some(3), Some(3)));
    assert_eq!(pool["instances"].as_array().unwrap().len(), members.len());
    // Left to itself, the group waits for nobody.
    let _left = world.cluster.wharf(&["pool", "rm", "web", "-y"]).good();
    world.region.set_desired("web", 4);
    until("a machine counts without us", SOON, || {
        let members = world.region.members("web");
        let serving = members.iter().filter(|one| one.lifecycle_state == "InService").count();
        if serving == 4 { Ok(()) } else { Err(format!("{members:?} {:?}", world.region.calls())) }
    });
}

/// No secret is in the image, in the launch template or on any command line.
#[test]
fn machines_of_a_pool_join_by_what_aws_says_of_them() {
    let world = World::start();
    let authority = world.cluster.as_root(&["token", "authority"]).good();
    let user_data = format!(
        "WHARF_ADDR={}\nWHARF_JOIN=aws-sts\nWHARF_AUTHORITY={}\nREGION_AGENT_ARGUMENTS=--prefer-local-images\nREGION_FACTS=no\n",
        world.cluster.address,
        authority.trim()
    );
    world.region.create_pool(&Pool { size: 0, user_data: &user_data, ..Pool::default() });
    let other = Pool { name: "other", size: 1, user_data: &user_data, ..Pool::default() };
    world.region.create_pool(&other);
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    world.has_hooks();
    world.region.set_desired("web", 2);
    let members = world.are_ready(2);
    let nodes = world.cluster.wharf(&["node", "ls", "-o", "json"]).json();
    for node in nodes.as_array().unwrap() {
        assert!(members.contains(node["id"].as_str().unwrap()), "a machine of no pool is in");
        assert_eq!(
            (&node["pool"], &node["labels"]["lifecycle"]),
            (&json!("web"), &json!("on-demand"))
        );
        let instance = world.region.instance(node["id"].as_str().unwrap());
        assert_eq!(
            (node["zone"].as_str(), node["ami"].as_str()),
            (Some(&*instance.zone), Some(&*instance.image))
        );
    }
    let joins = world.cluster.wharf(&["audit", "--what", "join"]).good();
    assert!(members.iter().all(|id| joins.contains(id)), "{joins}");
}

#[test]
fn a_group_that_becomes_smaller_waits_until_its_machine_is_empty() {
    let world = World::with_pool(3);
    world.deploy(6);
    let before = world.are_ready(3);
    world.region.set_desired("web", 2);
    let gone = world.have_left(&before, 1);
    world.serve_elsewhere(6, &gone);
    let events = world.events();
    let left = gone.first().unwrap();
    assert!(events.contains(&format!("{left} may leave web: it is empty")), "{events}");
    assert!(!events.contains("stopped, whatever their services can spare"), "{events}");
    until("its node is dead", SOON, || {
        let dead = world.nodes("dead");
        if dead.contains(left) { Ok(()) } else { Err(format!("{dead:?}")) }
    });
    assert_eq!(world.region.calls()["autoscaling.CompleteLifecycleAction"], 1);
}

/// F27 of the fault plan.
#[test]
fn f27_a_lost_message_is_made_up_for_by_a_look() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    world.region.fault(&json!({ "kind": "message", "effect": "lose" }));
    let began = Instant::now();
    world.region.set_desired("web", 1);
    until("the node is being emptied, or was", SOON * 2, || {
        let events = world.events();
        if events.contains("is being emptied") { Ok(()) } else { Err(events) }
    });
    let found = began.elapsed();
    eprintln!("found after {found:.1?}");
    assert!(found < Duration::from_secs(60));
    let gone = world.have_left(&before, 1);
    world.serve_elsewhere(2, &gone);
}

/// F43 of the fault plan: throttled, broken, late, and answers that are lost though all was done.
#[test]
fn f43_a_cloud_that_can_hardly_be_asked_is_asked_a_bounded_number_of_times_and_nothing_is_done_twice()
 {
    let world = World::with_pool(3);
    world.deploy(3);
    let before = world.are_ready(3);
    world.region.forget_calls();
    let fault = |fault: Value| world.region.fault(&fault);
    fault(json!({ "kind": "call", "action": "DescribeAutoScalingGroups", "times": 3 }));
    fault(json!({ "kind": "call", "service": "ec2", "action": "DescribeInstances",
        "code": "Unavailable", "status": 503, "times": 3 }));
    fault(json!({ "kind": "call", "action": "CompleteLifecycleAction", "times": 2 }));
    fault(json!({ "kind": "call", "action": "CompleteLifecycleAction",
        "code": "InternalFailure", "status": 500, "after": true, "times": 1 }));
    let lag = fault(json!({ "kind": "lag", "seconds": 20 }));
    fault(json!({ "kind": "message", "effect": "double" }));
    world.region.set_desired("web", 2);
    let gone = world.have_left(&before, 1);
    world.region.clear_fault(lag);
    world.serve_elsewhere(3, &gone);
    until("its node is dead", SOON, || {
        let dead = world.nodes("dead");
        if dead == gone { Ok(()) } else { Err(format!("{dead:?}")) }
    });
    let calls = world.region.calls();
    let count = |name: &str| calls.get(name).copied().unwrap_or_default();
    // Two that were throttled, one whose answer was lost, and one or two that find nothing to answer any more.
    let answered = count("autoscaling.CompleteLifecycleAction");
    assert!((3..=6).contains(&answered), "{calls:?}");
    assert_eq!(count("autoscaling.TerminateInstanceInAutoScalingGroup"), 0, "{calls:?}");
    assert_eq!(count("autoscaling.SetDesiredCapacity"), 1, "{calls:?}: the test's own");
    assert!(calls.values().sum::<u64>() < 400, "{calls:?}");
    assert_eq!(world.nodes("ready").len(), 2, "nobody else was taken for gone");
}

#[test]
fn a_coordinator_that_is_killed_goes_on_with_what_a_group_waits_for() {
    let mut world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    world.cluster.kill_coordinator();
    world.region.set_desired("web", 1);
    world.cluster.start_coordinator();
    // Once more, at some moment of the drain.
    world.cluster.kill_coordinator();
    world.cluster.start_coordinator();
    let gone = world.have_left(&before, 1);
    world.serve_elsewhere(2, &gone);
    assert_eq!(world.region.calls()["autoscaling.CompleteLifecycleAction"], 1);
}

#[test]
fn what_the_cloud_says_is_gone_is_replaced_at_once() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    let lost = before.first().unwrap();
    let began = Instant::now();
    world.region.order(lost, NodeOrder::Die);
    world.serve_elsewhere(2, &BTreeSet::from([lost.clone()]));
    eprintln!("replaced after {:.1?}", began.elapsed());
    // And the group has launched another, which was let in.
    world.are_ready(2);
}

#[test]
fn a_spot_machine_that_is_taken_back_is_left_before_its_end() {
    let world = World::start();
    world.create_group(&Pool { size: 3, spot: true, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    let before = world.are_ready(3);
    world.has_hooks();
    world.deploy(3);
    let node = world.cluster.wharf(&["node", "ls", "-o", "json"]).json()[0].clone();
    assert_eq!(node["labels"]["lifecycle"], "spot");
    let taken = before.first().unwrap().clone();
    world.region.interrupt_spot(&taken);
    world.serve_elsewhere(3, &BTreeSet::from([taken.clone()]));
    assert_eq!(world.region.instance(&taken).state, "running", "its two minutes are not over");
    let kept = world.cluster.wharf(&["uncordon", &taken]);
    assert!(kept.err.contains("can not be kept"), "{}", kept.err);
}

#[test]
fn tasks_that_find_no_room_have_machines_launched() {
    let world = World::with_pool(1);
    let _set = world.cluster.wharf(&["pool", "set", "web", "--scale", "out"]).good();
    let shop = format!(
        "name: shop\nservices:\n  web:\n    image: {IMAGE}\n    command: [sleep, '2147483647']\n    \
         deploy: {{replicas: 3, update_config: {{monitor: 1s}}, placement: {{max_replicas_per_node: 1}}}}\n"
    );
    let _deployed = world.cluster.deploy_with(&shop, &["--detach"]).good();
    let began = Instant::now();
    until("the group wants three machines", SOON, || {
        let members = world.region.members("web");
        if members.len() == 3 { Ok(()) } else { Err(format!("{:#}", world.pool())) }
    });
    eprintln!("asked for after {:.1?}", began.elapsed());
    world.serve_elsewhere(3, &BTreeSet::new());
    world.are_ready(3);
}
