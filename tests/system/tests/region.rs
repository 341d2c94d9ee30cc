//! The region in a box does what AWS is said to do, runs nodes, and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::docker::IMAGE;
use system_tests::program::built;
use system_tests::region::{
    Hook, Machines, NodeOrder, Pool, Region, Service, Transition, ZoneOrder, own_tests,
};
use system_tests::{Cluster, Options, SOON, until};

/// An agent that finds nobody at this address: what is tested is the machine and not what it says.
const ALONE: &str = "WHARF_ADDR=127.0.0.1:1\nWHARF_PLAINTEXT=true\n";

fn states(region: &Region, group: &str) -> Vec<String> {
    let mut states: Vec<String> =
        region.members(group).into_iter().map(|member| member.lifecycle_state).collect();
    states.sort();
    states
}

#[track_caller]
fn states_are(region: &Region, group: &str, wanted: &[&str]) {
    until(&format!("{group} is {wanted:?}"), SOON, || {
        let states = states(region, group);
        if states == wanted { Ok(()) } else { Err(format!("{states:?}")) }
    });
}

/// The processes of all agents, once so many run.
#[track_caller]
fn agents(region: &Region, wanted: usize) -> BTreeSet<u64> {
    until(&format!("{wanted} agents run"), SOON, || {
        let nodes = region.nodes();
        let running: BTreeSet<u64> = nodes.iter().filter_map(|node| node.pid).collect();
        let is_so = running.len() == wanted && nodes.len() == wanted;
        if is_so { Ok(running) } else { Err(format!("{nodes:?}")) }
    })
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[track_caller]
fn are_gone(pids: &BTreeSet<u64>) {
    until("the agents are gone", SOON, || {
        let left: Vec<&u64> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn the_region_passes_its_own_tests() {
    let said = own_tests();
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let ran = said.err.lines().find(|line| line.starts_with("Ran ")).unwrap_or_default();
    eprintln!("{ran}");
}

#[test]
fn instances_wait_for_their_hooks_and_events_land_in_the_queue() {
    let region = Region::with(&Machines::None);
    let queue = region.create_queue("events");
    region.create_rule("scaling", &json!({ "source": ["aws.autoscaling"] }), &queue);
    let hooks =
        [Hook::new("up", Transition::Launching), Hook::new("down", Transition::Terminating)];
    region.create_pool(&Pool { size: 2, hooks: &hooks, ..Pool::default() });
    assert_eq!(states(&region, "web"), ["Pending:Wait", "Pending:Wait"]);
    let heard = region.receive(&queue);
    let first = heard[0]["detail"]["EC2InstanceId"].as_str().unwrap().to_owned();
    assert_eq!(heard[0]["detail-type"], "EC2 Instance-launch Lifecycle Action");
    assert_eq!(
        heard[0]["detail"]["LifecycleActionToken"].as_str(),
        region.instance(&first).waits.get("up").map(String::as_str)
    );
    for member in region.members("web") {
        region.complete("web", "up", &member.id, "CONTINUE");
    }
    assert_eq!(states(&region, "web"), ["InService", "InService"]);
    region.set_desired("web", 1);
    assert_eq!(states(&region, "web"), ["InService", "Terminating:Wait"]);
    let leaving = region.members("web").into_iter().find(|one| !one.waits.is_empty()).unwrap();
    assert_eq!(leaving.state, "running");
    region.complete("web", "down", &leaving.id, "CONTINUE");
    assert_eq!(states(&region, "web"), ["InService"]);
    assert_eq!(region.instance(&leaving.id).state, "terminated");
    let again = [
        ("AutoScalingGroupName", "web"),
        ("LifecycleHookName", "down"),
        ("InstanceId", &leaving.id),
        ("LifecycleActionResult", "CONTINUE"),
    ];
    let refusal = region.call(Service::AutoScaling, "CompleteLifecycleAction", &again).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "ValidationError"));
}

#[test]
fn faults_happen_as_often_as_they_were_ordered() {
    let region = Region::with(&Machines::None);
    region.create_pool(&Pool { size: 1, ..Pool::default() });
    region.fault(&json!({ "kind": "call", "action": "DescribeAutoScalingGroups", "times": 1 }));
    let describe = || region.call(Service::AutoScaling, "DescribeAutoScalingGroups", &[]);
    assert_eq!(describe().unwrap_err().code, "Throttling");
    assert!(describe().is_ok());
    let broken = json!({ "kind": "call", "service": "ec2", "code": "Unavailable", "status": 503 });
    let number = region.fault(&broken);
    let refusal = region.call(Service::Ec2, "DescribeInstances", &[]).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (503, "Unavailable"));
    region.clear_fault(number);
    assert!(region.call(Service::Ec2, "DescribeInstances", &[]).is_ok());
    let queue = region.create_queue("faulty");
    let send = |body: &str| {
        let message = json!({ "QueueUrl": queue.url, "MessageBody": body });
        region.call_json("AmazonSQS.SendMessage", &message).unwrap();
    };
    for effect in ["lose", "double"] {
        region
            .fault(&json!({ "kind": "message", "queue": "faulty", "effect": effect, "times": 1 }));
    }
    send("1");
    send("2");
    assert_eq!(region.receive(&queue), [json!(2), json!(2)]);
    region.fault(&json!({ "kind": "capacity" }));
    region.set_desired("web", 2);
    assert_eq!(region.members("web").len(), 1);
    region.clear_faults();
    states_are(&region, "web", &["InService", "InService"]);
}

#[test]
fn every_instance_is_an_agent_that_comes_and_goes_with_it() {
    let region = Region::start();
    region.create_pool(&Pool { size: 3, user_data: ALONE, ..Pool::default() });
    let first = agents(&region, 3);
    states_are(&region, "web", &["InService", "InService", "InService"]);
    let dying = region.members("web")[0].clone();
    region.order(&dying.id, NodeOrder::Die);
    let second = agents(&region, 3);
    are_gone(&(&first - &second));
    assert_eq!((&first - &second).len(), 1);
    until("its instance is terminated", SOON, || {
        let state = region.instance(&dying.id).state;
        if state == "terminated" { Ok(()) } else { Err(state) }
    });
    // Its group may show the one that is gone for a while yet.
    let others = region.members("web").into_iter().find(|one| one.id != dying.id);
    let crashing = others.unwrap().id;
    region.order(&crashing, NodeOrder::Crash);
    until("its agent is started again", SOON, || {
        let nodes = region.nodes();
        let node = nodes.iter().find(|node| node.instance == crashing).unwrap();
        let is_back = node.restarts == 1 && node.pid.is_some();
        if is_back { Ok(()) } else { Err(format!("{node:?}")) }
    });
    let before = agents(&region, 3);
    region.ec2("RebootInstances", &crashing);
    until("it has rebooted", SOON, || {
        if agents(&region, 3) == before { Err("nothing has changed".to_owned()) } else { Ok(()) }
    });
    let zone = region.instance(&crashing).zone;
    assert!(region.zone(&zone, ZoneOrder::Silent).contains(&crashing));
    assert_eq!(region.instance(&crashing).state, "running");
    region.zone(&zone, ZoneOrder::Dark);
    agents(&region, 3);
    assert!(!region.members("web").iter().any(|one| one.zone == zone && one.state == "running"));
    let last = agents(&region, 3);
    drop(region);
    are_gone(&last);
}

#[test]
fn nothing_is_left_of_a_region_that_was_killed() {
    let mut region = Region::start();
    region.create_pool(&Pool { size: 2, user_data: ALONE, ..Pool::default() });
    let running = agents(&region, 2);
    let node = region.members("web")[0].id.clone();
    let label = format!("wharf.node={node}");
    let docker = region.docker().clone();
    docker.run(&["run", "--detach", "--label", &label, IMAGE, "sleep", "2147483647"]);
    region.kill();
    are_gone(&running);
    assert_eq!(docker.containers(&label).len(), 1);
    region.clean();
    assert_eq!(docker.containers(&label), []);
    assert_eq!(std::fs::read_dir(region.folder().join("nodes")).unwrap().count(), 0);
}

#[test]
fn a_spot_instance_is_gone_two_minutes_after_its_notice() {
    let region = Region::start();
    region.create_pool(&Pool { size: 1, spot: true, user_data: ALONE, ..Pool::default() });
    let running = agents(&region, 1);
    let spot = region.members("web")[0].clone();
    assert_eq!(spot.market, "spot");
    region.interrupt_spot(&spot.id);
    region.advance(Duration::from_secs(115));
    assert_eq!(region.instance(&spot.id).state, "running");
    region.advance(Duration::from_secs(6));
    are_gone(&running);
    states_are(&region, "web", &["InService"]);
    assert_ne!(region.members("web")[0].id, spot.id);
}

/// What a node is told so that it joins this cluster, by a token of its own.
fn joining(cluster: &Cluster) -> String {
    let token = format!(
        "HOME={} WHARF_ADDR={} {} token create --node $WHARF_NODE --pool web",
        cluster.scratch.path().display(),
        cluster.address,
        built("wharf").display()
    );
    format!(
        "WHARF_ADDR={}\nREGION_TOKEN_COMMAND={token}\nREGION_AGENT_ARGUMENTS=--prefer-local-images\n",
        cluster.address
    )
}

fn nodes_of(cluster: &Cluster, state: &str) -> BTreeSet<String> {
    let nodes = cluster.wharf(&["node", "ls", "-o", "json"]).json();
    let nodes = nodes.as_array().into_iter().flatten();
    nodes
        .filter(|node| node["state"] == state)
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn members_are_ready(region: &Region, cluster: &Cluster, wanted: usize) -> BTreeSet<String> {
    until("the members of the pool are ready nodes", SOON, || {
        let members: BTreeSet<String> =
            region.members("web").into_iter().map(|member| member.id).collect();
        let ready = nodes_of(cluster, "ready");
        let is_so = members.len() == wanted && members.is_subset(&ready);
        if is_so { Ok(members.clone()) } else { Err(format!("{members:?}, ready {ready:?}")) }
    })
}

#[test]
fn a_machine_that_is_gone_takes_its_containers_along() {
    let cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    let region = Region::start();
    let user_data = joining(&cluster);
    region.create_pool(&Pool { size: 3, user_data: &user_data, ..Pool::default() });
    let before = members_are_ready(&region, &cluster, 3);
    let shop = format!(
        "name: shop\nservices:\n  web:\n    image: {IMAGE}\n    command: [sleep, '2147483647']\n    \
         deploy: {{replicas: 3, placement: {{max_replicas_per_node: 1}}}}\n"
    );
    let _deployed = cluster.deploy(&shop).good();
    let here = |node: &str| region.docker().containers(&format!("wharf.node={node}"));
    let lost = before.first().unwrap();
    assert_eq!(here(lost).len(), 1);
    region.terminate_in_group(lost);
    until("its containers are gone with it", SOON, || {
        let (left, state) = (here(lost), region.instance(lost).state);
        let is_gone = left.is_empty() && state == "terminated";
        if is_gone { Ok(()) } else { Err(format!("{state}: {left:?}")) }
    });
    let after = members_are_ready(&region, &cluster, 3);
    assert_eq!(after.intersection(&before).count(), 2);
    drop(region);
    assert_eq!(cluster.containers(), []);
}

#[test]
fn a_machine_that_is_stopped_keeps_what_is_on_its_disk() {
    let cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    let region = Region::start();
    let user_data = joining(&cluster);
    region.create_pool(&Pool { size: 1, user_data: &user_data, ..Pool::default() });
    let node = members_are_ready(&region, &cluster, 1).pop_first().unwrap();
    let group =
        [("AutoScalingGroupName", "web"), ("ScalingProcesses.member.1", "ReplaceUnhealthy")];
    region.call(Service::AutoScaling, "SuspendProcesses", &group).unwrap();
    let shop = format!(
        "name: shop\nservices:\n  web:\n    image: {IMAGE}\n    command: [sleep, '2147483647']\n"
    );
    let _deployed = cluster.deploy(&shop).good();
    let label = format!("wharf.node={node}");
    let runs = || region.docker().containers(&label).iter().any(|one| one.status == "running");
    assert!(runs());
    region.ec2("StopInstances", &node);
    until("it is stopped", SOON, || {
        let state = region.instance(&node).state;
        if state == "stopped" { Ok(()) } else { Err(state) }
    });
    assert!(!runs());
    assert_eq!(region.docker().containers(&label).len(), 1);
    region.ec2("StartInstances", &node);
    until("its task runs again", SOON, || if runs() { Ok(()) } else { Err(region.log()) });
    assert_eq!(members_are_ready(&region, &cluster, 1), BTreeSet::from([node]));
}

/// How a hundred nodes come up together on this machine.
#[test]
fn a_hundred_nodes_run() {
    let region = Region::start();
    let began = Instant::now();
    region.create_pool(&Pool { size: 100, user_data: ALONE, ..Pool::default() });
    let launched = began.elapsed();
    let running = agents(&region, 100);
    let up = began.elapsed();
    let began = Instant::now();
    let answer = region.call(Service::AutoScaling, "DescribeAutoScalingGroups", &[]).unwrap();
    assert_eq!(answer.matches("<InstanceId>").count(), 100);
    let described = began.elapsed();
    let memory: u64 = running.iter().map(|pid| resident_kib(*pid)).sum();
    let began = Instant::now();
    region.set_desired("web", 0);
    until("all are terminated", SOON, || {
        let left = region.instances().iter().filter(|one| one.state != "terminated").count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are not")) }
    });
    are_gone(&running);
    let measured = json!({
        "bench": "region_nodes",
        "nodes": 100,
        "launched_s": launched.as_secs_f64(),
        "up_s": up.as_secs_f64(),
        "described_s": described.as_secs_f64(),
        "ended_s": began.elapsed().as_secs_f64(),
        "agents_mib": memory / 1024,
        "region_mib": resident_kib(u64::from(region.id())) / 1024,
    });
    eprintln!("{measured}");
}

fn resident_kib(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

#[test]
fn an_instance_is_described_by_its_metadata_service() {
    let region = Region::with(&Machines::None);
    region.create_pool(&Pool { size: 1, profile: Some("node"), ..Pool::default() });
    let member = region.members("web")[0].clone();
    let documents = region.control("GET", "instances", &Value::Null);
    assert_eq!(documents[0]["id"], member.id.as_str());
    assert!(region.metadata_endpoint(&member.id).ends_with(&format!("/imds/{}", member.id)));
    assert!(region.identity_certificate().starts_with("-----BEGIN CERTIFICATE-----"));
    let called = region.calls();
    assert_eq!(called.get("autoscaling.CreateAutoScalingGroup"), Some(&1), "{called:?}");
}
