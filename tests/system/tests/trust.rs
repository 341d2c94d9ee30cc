//! Real agents whose certificates end, are renewed and are taken back: what runs does not notice.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::time::Duration;

use model::id::Serial;
use system_tests::{Cluster, Container, Options, SOON, until};

/// Renewed after seven to twelve seconds, which leaves some for a machine that does much else.
const SHORT: &[&str] = &["--node-certificate-seconds", "15"];
const SHORT_LIFE: Duration = Duration::from_secs(15);

fn short(nodes: u32) -> Cluster {
    Cluster::with(Options { nodes, coordinator_arguments: SHORT, ..Options::default() })
}

fn deploy(cluster: &Cluster) -> Vec<Container> {
    let _done = cluster.deploy_sleeper("{replicas: 2, update_config: {monitor: 0s}}").good();
    let running = cluster.running();
    assert_eq!(running.len(), 2);
    running
}

fn certificate(cluster: &Cluster, node: &str) -> trust::Certificate {
    let path = cluster.state_dir(node).join("identity.pem");
    trust::Bundle::load(&path).unwrap().unwrap().about
}

fn serial(cluster: &Cluster, node: &str) -> Serial {
    certificate(cluster, node).serial
}

/// Waits until the certificate of a node does not hold any more.
fn has_ended(cluster: &Cluster, node: &str) {
    let ends = certificate(cluster, node).not_after;
    until("the certificate has ended", SOON, || {
        let now = trust::now();
        if now > ends { Ok(()) } else { Err(format!("{:?} are left", ends.since(now))) }
    });
}

fn state(cluster: &Cluster, node: &str) -> String {
    let nodes = cluster.wharf(&["node", "ls", "-o", "json"]).json();
    let node = nodes.as_array().unwrap().iter().find(|one| one["id"] == node).cloned();
    node.map(|node| node["state"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn log(cluster: &Cluster, node: &str) -> String {
    fs::read_to_string(cluster.scratch.path().join(format!("{node}.log"))).unwrap()
}

fn says(cluster: &Cluster, node: &str, words: &[&str]) {
    until("the agent says it", SOON, || {
        let log = log(cluster, node);
        let is_said = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        if is_said { Ok(()) } else { Err(format!("{words:?}: {log}")) }
    });
}

/// Puts a token that names the node to where the agent looks for one.
fn let_in(cluster: &Cluster, node: &str) {
    let token = cluster.wharf(&["token", "create", "--node", node]).good();
    fs::write(cluster.scratch.path().join(format!("{node}.token")), token).unwrap();
}

#[test]
fn a_certificate_is_renewed_again_and_again_and_nothing_notices() {
    let cluster = short(2);
    let before = deploy(&cluster);
    let mut seen = vec![serial(&cluster, "n1")];
    until("three other certificates", SHORT_LIFE * 8, || {
        let now = serial(&cluster, "n1");
        if !seen.contains(&now) {
            seen.push(now);
        }
        assert_eq!(state(&cluster, "n1"), "ready");
        if seen.len() > 3 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!(cluster.running(), before);
    let log = log(&cluster, "n1");
    assert!(!log.contains("no conversation"), "{log}");
}

#[test]
fn a_certificate_that_has_ended_stops_no_container_and_the_agent_says_what_to_do() {
    let mut cluster = short(1);
    let before = deploy(&cluster);
    cluster.kill_coordinator();
    let ends = serial(&cluster, "n1");
    // It can not be renewed while nobody is there, and ends.
    says(&cluster, "n1", &["has expired at", "wharf token create --node n1"]);
    assert_eq!(cluster.running(), before);
    cluster.start_coordinator();
    // It has to be let in, and until then waits.
    until("the coordinator misses the node", SOON, || match state(&cluster, "n1").as_str() {
        "ready" => Err("ready".to_owned()),
        _ => Ok(()),
    });
    let_in(&cluster, "n1");
    cluster.nodes_are_ready(1);
    assert_ne!(serial(&cluster, "n1"), ends);
    assert_eq!(cluster.running(), before);
    // An agent that is started without one that holds does the same.
    cluster.kill_agent("n1");
    has_ended(&cluster, "n1");
    let_in(&cluster, "n1");
    let mut command = cluster.agent_command("n1");
    command.arg("--prefer-local-images");
    let token = cluster.scratch.path().join("n1.token");
    command.arg("--join-token-file").arg(token);
    let log = cluster.scratch.path().join("n1.log");
    let _agent = system_tests::Program::start(&mut command, &log);
    cluster.nodes_are_ready(1);
    assert_eq!(cluster.running(), before);
}

#[test]
fn a_node_that_is_revoked_is_out_at_once_and_what_runs_there_goes_on() {
    let cluster = Cluster::with(Options { nodes: 2, ..Options::default() });
    let before = deploy(&cluster);
    let _revoked = cluster.wharf(&["node", "revoke", "-y", "n2"]).good();
    says(&cluster, "n2", &["was revoked at", "wharf token create --node"]);
    assert_eq!(cluster.running(), before);
    assert_eq!(state(&cluster, "n1"), "ready");
    // A token for just any node does not help, and the agent says why.
    let token = cluster.wharf(&["token", "create"]).good();
    fs::write(cluster.scratch.path().join("n2.token"), token).unwrap();
    says(&cluster, "n2", &["has joined already"]);
    let_in(&cluster, "n2");
    cluster.nodes_are_ready(2);
    assert_eq!(cluster.running(), before);
}

#[test]
fn a_node_joins_however_often_the_coordinator_is_killed_meanwhile() {
    let mut cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    for round in 0..8_u32 {
        let node = format!("n{round}");
        cluster.start_agent(&node);
        // Before it is dialled, during the handshake, before the answer, after it.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 25));
        cluster.kill_coordinator();
        cluster.start_coordinator();
        until("the node is ready", SOON, || match state(&cluster, &node).as_str() {
            "ready" => Ok(()),
            other => Err(format!("{other} {}", log(&cluster, &node))),
        });
    }
    let tokens = cluster.wharf(&["token", "ls", "-o", "json"]).json();
    assert!(tokens.as_array().unwrap().iter().all(|token| token["state"] == "used"), "{tokens}");
}

#[test]
fn a_token_of_another_cluster_is_not_shown_and_the_agent_says_whose_it_is() {
    let (ours, theirs) = (
        Cluster::with(Options { nodes: 0, ..Options::default() }),
        Cluster::with(Options { nodes: 0, ..Options::default() }),
    );
    let token = theirs.wharf(&["token", "create"]).good();
    let mut command = ours.agent_command("n1");
    // In the place of the one that the command would have shown.
    let file = ours.scratch.path().join("n1.token");
    fs::write(&file, token).unwrap();
    let log = ours.scratch.path().join("n1.log");
    let _agent = system_tests::Program::start(&mut command, &log);
    says(&ours, "n1", &["Nothing was sent to it", "wharf token create"]);
    let tokens = theirs.wharf(&["token", "ls", "-o", "json"]).json();
    assert_eq!(tokens[0]["state"], "open", "{tokens}");
}

#[test]
fn who_may_not_is_told_so_with_77_and_a_hint() {
    let cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let _running = deploy(&cluster);
    let file = cluster.scratch.path().join("ci.toml").display().to_string();
    let add = ["operator", "add", "ci", "--role", "deployer", "--services", "shop/*", "--out"];
    let _added = cluster.wharf(&[&add[..], &[&file]].concat()).good();
    let _taken = cluster.wharf(&["context", "import", &file]).good();
    let _seen = cluster.wharf(&["ps"]).good();
    for denied in [
        &["scale", "lab/app=3"][..],
        &["exec", "lab/app", "true"],
        &["rm", "-y", "lab/app"],
        &["cordon", "n1"],
        &["token", "create"],
        &["operator", "ls"],
        &["node", "revoke", "-y", "n1"],
    ] {
        let said = cluster.wharf(denied);
        assert_eq!(said.code, 77, "{denied:?} {}{}", said.out, said.err);
        assert!(said.err.contains("ci (deployer)") && said.err.contains("hint:"), "{}", said.err);
    }
    let admin = |arguments: &[&str]| cluster.wharf(&[&["--context", "tester"], arguments].concat());
    let _removed = admin(&["operator", "rm", "ci"]).good();
    let said = cluster.wharf(&["ps"]).bad(77);
    assert!(said.contains("does not count") && said.contains("hint:"), "{said}");
    let again = admin(&["operator", "add", "ci", "--role", "viewer", "--out", &file]).bad(1);
    assert!(again.contains("already"), "no file is written over: {again}");
}
