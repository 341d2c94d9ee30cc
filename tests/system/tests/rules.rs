//! Rules that only real programs can break: about silence, identity, what is left behind, what hangs, and what is
//! acknowledged. Each test bears the name of its rule:
//!
//! - R7 who was away himself concludes nothing from the silence of others;
//! - R13 a state directory belongs to one node;
//! - R14 a container is known by the engine's id, and not by its name;
//! - R15 what was left behind is found and cleared away;
//! - R20 nobody waits for what does not end;
//! - R21 what was acknowledged is on disk.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "rules/faults.rs"]
mod faults;

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::{Cluster, Container, Options, Program, SOON, Said, until};

use faults::{Proxy, Strace};

/// A node that is silent for longer is suspected: three heartbeats of 10 s.
const SUSPECT_AFTER: Duration = Duration::from_secs(30);
/// An engine that hangs is noticed by then: the longest list, and the wait for the next.
const WEDGED_AFTER: Duration = Duration::from_secs(90);

/// A service of that name.
fn service(name: &str, replicas: u32, more: &str) -> String {
    format!(
        "
name: lab
services:
  {name}:
    image: {IMAGE}
    command: [sleep, '100000']
    init: true
    stop_grace_period: 1s
    deploy: {{replicas: {replicas}, update_config: {{monitor: 0s}}}}
{more}
"
    )
}

fn one_node() -> Cluster {
    Cluster::with(Options { nodes: 1, ..Options::default() })
}

fn node_states(cluster: &Cluster) -> Vec<String> {
    let nodes = cluster.wharf(&["node", "ls", "-o", "json"]).json();
    let states = nodes.as_array().unwrap().iter().map(|node| &node["state"]);
    states.map(|state| state.as_str().unwrap_or_default().to_owned()).collect()
}

/// Which tasks there are, what each does, and how often it was started again.
fn tasks(cluster: &Cluster) -> Vec<(Value, Value, Value)> {
    let tasks = cluster.tasks().into_iter();
    let brief = |task: Value| (task["id"].clone(), task["state"].clone(), task["restarts"].clone());
    tasks.map(brief).collect()
}

/// Waits until nothing of the cluster is left on the engine.
fn nothing_is_left(cluster: &Cluster) {
    until("nothing of the cluster is left", SOON, || {
        let label = format!("label=wharf.cluster={}", cluster.id);
        let networks = cluster.docker.run(&["network", "ls", "--filter", &label]);
        let containers = cluster.containers();
        if containers.is_empty() && networks.lines().count() == 1 {
            Ok(())
        } else {
            Err(format!("{containers:?} {networks}"))
        }
    });
}

/// Waits until so many containers run.
fn run(cluster: &Cluster, wanted: usize) -> Vec<Container> {
    until(&format!("{wanted} containers run"), SOON, || {
        let running = cluster.running();
        if running.len() == wanted { Ok(running) } else { Err(format!("{running:?}")) }
    })
}

#[test]
fn r7_a_coordinator_that_stood_still_suspects_nobody() {
    let mut cluster = Cluster::start();
    let _done = cluster.deploy(&service("app", 4, "")).good();
    let before = (tasks(&cluster), cluster.running());
    // Nobody can speak meanwhile, so that nobody's word helps afterwards.
    for node in ["n1", "n2"] {
        cluster.agent(node).signal(Signal::STOP);
    }
    cluster.coordinator().signal(Signal::STOP);
    let stopped = Instant::now();
    until("all stood still for longer than silence is allowed", SUSPECT_AFTER * 2, || {
        let is_over = stopped.elapsed() > SUSPECT_AFTER + Duration::from_secs(1);
        if is_over { Ok(()) } else { Err(format!("{:?}", stopped.elapsed())) }
    });
    cluster.coordinator().signal(Signal::CONT);
    let _answers = cluster.wharf(&["status"]).good();
    assert_eq!(node_states(&cluster), ["ready", "ready"]);
    assert!(cluster.coordinator().log().contains("stood still"));
    for node in ["n1", "n2"] {
        cluster.agent(node).signal(Signal::CONT);
    }
    cluster.nodes_are_ready(2);
    assert_eq!((tasks(&cluster), cluster.running()), before);
}

#[test]
fn r7_a_new_coordinator_gives_every_node_its_whole_time() {
    let mut cluster = Cluster::start();
    let _done = cluster.deploy(&service("app", 4, "")).good();
    let before = (tasks(&cluster), cluster.running());
    for node in ["n1", "n2"] {
        cluster.agent(node).signal(Signal::STOP);
    }
    until("both nodes are suspected", SUSPECT_AFTER * 2, || {
        let states = node_states(&cluster);
        if states == ["suspect", "suspect"] { Ok(()) } else { Err(format!("{states:?}")) }
    });
    assert_eq!((tasks(&cluster), cluster.running()), before, "silence stops nothing");
    cluster.kill_coordinator();
    cluster.start_coordinator();
    assert_eq!(
        node_states(&cluster),
        ["ready", "ready"],
        "their silence was not heard by this one"
    );
    for node in ["n1", "n2"] {
        cluster.agent(node).signal(Signal::CONT);
    }
    cluster.nodes_are_ready(2);
    assert_eq!((tasks(&cluster), cluster.running()), before);
}

#[test]
fn r13_a_copied_state_directory_makes_nobody_another_node() {
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 2, "")).good();
    let before = cluster.running();
    let (from, to) = (cluster.state_dir("n1"), cluster.state_dir("n2"));
    let _copied = Said::by(Command::new("cp").arg("-a").arg(from).arg(to), "").good();
    cluster.start_agent("n2");
    cluster.nodes_are_ready(2);
    let log = cluster.agent("n2").log();
    assert!(log.contains("it belongs to node n1, and this is n2"), "{log}");
    assert!(cluster.state_dir("n2").join("journal.damaged").exists());
    assert_eq!(cluster.running(), before);
    // It works on its own tasks, and still not on those of the other.
    let _scaled = cluster.wharf(&["scale", "lab/app=4"]).good();
    let after = run(&cluster, 4);
    assert!(before.iter().all(|one| after.contains(one)), "{before:?} {after:?}");
}

#[test]
fn r14_whoever_took_the_name_of_our_container_is_left_alone() {
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 1, "")).good();
    let ours = cluster.running().remove(0);
    cluster.kill_agent("n1");
    let docker = cluster.docker.clone();
    docker.run(&["rename", &ours.id, &format!("{}-renamed", ours.name)]);
    docker.run(&["run", "-d", "--init", "--name", &ours.name, IMAGE, "sleep", "100000"]);
    let foreign = docker.container(&ours.name).unwrap();
    let _removed = cluster.wharf(&["rm", "-y", "--detach", "lab/app"]).good();
    cluster.start_agent("n1");
    nothing_is_left(&cluster);
    let after = docker.container(&ours.name);
    docker.run(&["rm", "-f", &foreign.id]);
    assert_eq!(after, Some(foreign));
}

#[test]
fn r15_what_was_removed_while_there_was_no_agent_leaves_nothing_behind() {
    let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let published = format!("    ports: ['{port}:80']");
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 1, &published)).good();
    cluster.kill_agent("n1");
    let _removed = cluster.wharf(&["rm", "-y", "--detach", "lab/app"]).good();
    assert!(TcpListener::bind(("0.0.0.0", port)).is_err(), "the port is still held");
    cluster.start_agent("n1");
    nothing_is_left(&cluster);
    drop(TcpListener::bind(("0.0.0.0", port)).unwrap());
    let _done = cluster.deploy(&service("next", 1, &published)).good();
}

#[test]
fn r15_a_network_of_a_project_that_left_while_there_was_no_agent_goes() {
    let mut cluster = one_node();
    cluster.kill_agent("n1");
    // As an agent leaves it that ends between a project's last container and its network.
    let label = format!("wharf.cluster={}", cluster.id);
    let name = format!("wharf-{}-gone-default", cluster.id);
    let labels =
        ["--label", &label, "--label", "wharf.project=gone", "--label", "wharf.name=default"];
    cluster.docker.run(&[&["network", "create"], &labels[..], &[&name]].concat());
    cluster.start_agent("n1");
    nothing_is_left(&cluster);
}

#[test]
fn r15_an_earlier_container_that_somebody_started_again_is_stopped() {
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 1, "")).good();
    let first = cluster.running().remove(0);
    cluster.docker.run(&["kill", &first.id]);
    let second = until("a second container takes its place", SOON, || {
        let running = cluster.running();
        let second = running.iter().find(|one| one.id != first.id).cloned();
        second.ok_or_else(|| format!("{running:?}"))
    });
    cluster.kill_agent("n1");
    cluster.docker.run(&["start", &first.id]);
    run(&cluster, 2);
    cluster.start_agent("n1");
    assert_eq!(run(&cluster, 1), [second]);
}

#[test]
fn r20_a_container_that_will_not_stop_holds_up_no_other() {
    let cluster = one_node();
    let stubborn = format!(
        "
name: slow
services:
  stubborn:
    image: {IMAGE}
    command: [sh, -c, \"trap '' TERM; while true; do sleep 0.1; done\"]
    stop_grace_period: 10m
"
    );
    let _done = cluster.deploy(&stubborn).good();
    let stubborn = cluster.running().remove(0);
    let _removed = cluster.wharf(&["rm", "-y", "--detach", "slow/stubborn"]).good();
    for version in 1..=2 {
        let environment = format!("    environment: {{VERSION: '{version}'}}");
        let _done = cluster.deploy(&service("app", 2, &environment)).good();
    }
    let _removed = cluster.wharf(&["rm", "-y", "--detach", "lab/app"]).good();
    assert_eq!(run(&cluster, 1), [stubborn], "and it is still being asked to stop");
}

#[test]
fn r20_an_engine_that_hangs_makes_its_node_wedged_and_nothing_else() {
    let cluster = one_node();
    let proxy = Proxy::to_the_engine(cluster.scratch.path().join("docker.sock"));
    let _second = agent_behind(&cluster, &proxy);
    cluster.nodes_are_ready(2);
    let _done = cluster.deploy(&service("app", 4, "")).good();
    proxy.hang();
    // The other node takes work meanwhile, and says what the tag means when the first does not.
    let _done = cluster.deploy(&on_first_node()).good();
    let before = (tasks(&cluster), cluster.running());
    until("the node is wedged", WEDGED_AFTER, || {
        let states = node_states(&cluster);
        if states == ["wedged", "ready"] { Ok(()) } else { Err(format!("{states:?}")) }
    });
    assert_eq!((tasks(&cluster), cluster.running()), before, "nothing is concluded");
    proxy.go_on();
    cluster.nodes_are_ready(2);
    assert_eq!((tasks(&cluster), cluster.running()), before);
}

fn on_first_node() -> String {
    format!(
        "
name: other
services:
  app:
    image: {IMAGE}
    command: [sleep, '100000']
    init: true
    deploy: {{placement: {{constraints: ['node.id == n1']}}, update_config: {{monitor: 0s}}}}
"
    )
}

/// The agent of `n0`, the first to be asked for anything, whose engine can be made to hang.
fn agent_behind(cluster: &Cluster, proxy: &Proxy) -> Program {
    let mut command = cluster.agent_command("n0");
    command.arg("--prefer-local-images").arg("--docker-socket").arg(proxy.socket());
    Program::start(&mut command, &cluster.scratch.path().join("n0.log"))
}

#[test]
fn r20_pulls_that_never_end_hold_up_nothing_else() {
    let cluster = one_node();
    let _done = cluster.deploy(&service("app", 2, "")).good();
    // A registry that takes every connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let image =
        format!("localhost:{}/x@sha256:{}", silent.local_addr().unwrap().port(), "ab".repeat(32));
    let stuck = format!(
        "
name: stuck
services:
  app:
    image: {image}
    deploy: {{replicas: 80, resources: {{reservations: {{memory: 1M}}}}}}
"
    );
    let file = cluster.scratch.write("stuck.yaml", &stuck).display().to_string();
    let _detached = cluster.wharf(&["deploy", "-y", "--detach", &file]).good();
    until("all of them pull", SOON, || {
        let fetching = cluster.tasks().iter().filter(|task| task["state"] == "fetching").count();
        if fetching == 80 {
            Ok(())
        } else {
            Err(format!("{fetching} {:?}", cluster.tasks().last()))
        }
    });
    let _removed = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    assert!(cluster.running().is_empty());
}

#[test]
fn r20_a_deployment_waits_for_an_agent_that_is_only_just_starting() {
    let mut cluster = one_node();
    for version in 1..=3 {
        cluster.kill_agent("n1");
        cluster.start_agent("n1");
        let environment = format!("    environment: {{VERSION: '{version}'}}");
        let _done = cluster.deploy(&service("app", 1, &environment)).good();
    }
}

/// A sync of a disk that is not in a hurry.
const SLOW_SYNC: Duration = Duration::from_millis(1_500);

#[test]
fn r21_what_is_acknowledged_was_synced_before() {
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 1, "")).good();
    let strace = Strace::delay(cluster.coordinator().id(), &cluster.scratch, SLOW_SYNC);
    let asked = Instant::now();
    let _read = cluster.wharf(&["status"]).good();
    assert!(asked.elapsed() < SLOW_SYNC, "what is only read waits for no sync");
    let asked = Instant::now();
    let _scaled = cluster.wharf(&["scale", "--detach", "lab/app=2"]).good();
    assert!(asked.elapsed() >= SLOW_SYNC, "acknowledged after {:?}", asked.elapsed());
    let calls = strace.calls();
    let written = calls.iter().position(|call| call.contains("pwrite64(") && is_wal(call));
    let synced = calls.iter().position(|call| call.contains("sync(") && is_wal(call));
    assert!(written.is_some() && written < synced, "{calls:#?}");
}

#[test]
fn r21_what_could_not_be_synced_is_not_acknowledged() {
    let mut cluster = one_node();
    let _done = cluster.deploy(&service("app", 1, "")).good();
    let strace = Strace::fail(cluster.coordinator().id(), &cluster.scratch);
    let refused = cluster.wharf(&["scale", "--detach", "lab/app=2"]).bad(1);
    assert!(refused.contains("wharf.db"), "{refused}");
    assert!(strace.calls().iter().any(|call| call.contains("EIO") && is_wal(call)));
    drop(strace);
    assert_eq!(cluster.running().len(), 1, "what was refused is not done");
    let _scaled = cluster.wharf(&["scale", "lab/app=3"]).good();
    run(&cluster, 3);
}

fn is_wal(call: &str) -> bool {
    call.contains("wharf.db-wal")
}
