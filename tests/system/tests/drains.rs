//! A node is emptied under the eyes of somebody who counts what serves.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use system_tests::{Cluster, SOON, until};

const APP: &str = "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sh, -c, 'sleep 100000']
    stop_grace_period: 0s
    x-wharf: {min_available: 3}
    deploy: {replicas: 4, update_config: {monitor: 1s, order: stop-first}}
";

fn running_on(cluster: &Cluster, node: &str) -> usize {
    let label = format!("wharf.node={node}");
    let ours = cluster.docker.containers(&label).into_iter().map(|one| one.id);
    let running = cluster.running();
    ours.filter(|id| running.iter().any(|one| one.id == *id)).count()
}

fn node(cluster: &Cluster, id: &str) -> Value {
    let nodes = cluster.wharf(&["node", "ls", "-o", "json"]).json();
    nodes.as_array().unwrap().iter().find(|node| node["id"] == id).unwrap().clone()
}

#[test]
fn a_node_is_emptied_and_never_fewer_serve_than_have_to() {
    let cluster = Cluster::start();
    let _done = cluster.deploy(APP).good();
    assert!(running_on(&cluster, "n1") > 0);
    let plan = cluster.wharf(&["drain", "n1", "--plan"]);
    assert_eq!(plan.code, 2, "{}", plan.err);
    assert!(plan.out.contains("lab.app.") && plan.out.contains("n2"), "{}", plan.out);
    assert_eq!(node(&cluster, "n1")["state"], "ready", "a plan changes nothing");

    let (least, is_over) = (AtomicUsize::new(usize::MAX), AtomicBool::new(false));
    let said = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                least.fetch_min(cluster.running().len(), Ordering::Relaxed);
            }
        });
        let said = cluster.wharf(&["drain", "n1", "--timeout", "2m"]);
        is_over.store(true, Ordering::Relaxed);
        said
    });
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("has left") && said.out.contains("n1 is drained"), "{}", said.out);
    let least = least.into_inner();
    assert!((3..=4).contains(&least), "only {least} ran");
    assert_eq!((running_on(&cluster, "n1"), running_on(&cluster, "n2")), (0, 4));
    let drained = node(&cluster, "n1");
    assert_eq!(
        (&drained["state"], &drained["availability"]),
        (&"drained".into(), &"cordoned".into())
    );
    assert_eq!(drained["drain"]["phase"], "drained");
    assert_eq!(cluster.wharf(&["drain", "n1", "--plan"]).code, 0, "there is nothing to do");

    let _done = cluster.wharf(&["uncordon", "n1"]).good();
    assert_eq!(node(&cluster, "n1")["state"], "ready");
    let _done = cluster.wharf(&["scale", "lab/app=6"]).good();
    assert_eq!(running_on(&cluster, "n1"), 2);
}

#[test]
fn a_drain_that_can_not_go_on_says_why_until_it_is_called_off_or_forced() {
    let cluster = Cluster::start();
    let pinned = APP.replace("deploy: {", "deploy: {placement: {constraints: [node.id == n1]}, ");
    let _done = cluster.deploy(&pinned).good();
    let said = cluster.wharf(&["drain", "n1", "--timeout", "1s"]);
    assert_eq!(said.code, 4, "{}{}", said.out, said.err);
    assert!(said.err.contains("node.id == n1") && said.err.contains("hint: "), "{}", said.err);
    assert_eq!(node(&cluster, "n1")["drain"]["blocked"], true);
    let tasks = cluster.wharf(&["ps"]).out;
    assert!(tasks.contains("is to leave its node: waits: of all nodes"), "{tasks}");
    let _done = cluster.wharf(&["uncordon", "n1"]).good();
    assert_eq!((&node(&cluster, "n1")["state"], running_on(&cluster, "n1")), (&"ready".into(), 4));

    let _done = cluster.wharf(&["drain", "n1", "--force"]).good();
    until("nothing runs", SOON, || {
        let running = cluster.running();
        if running.is_empty() { Ok(()) } else { Err(format!("{running:?}")) }
    });
    let events = cluster.wharf(&["events"]).out;
    assert!(events.contains("at the deadline of its drain"), "{events}");
}

#[test]
fn what_can_not_be_drained_is_refused() {
    let cluster = Cluster::start();
    let said = cluster.wharf(&["drain", "--where", "node.zone == nowhere"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("no node meets `node.zone == nowhere`"), "{}", said.err);
    let said = cluster.wharf(&["drain", "n1", "--where", "node.id == n1"]);
    assert_eq!(said.code, 64, "one of the two is enough: {}", said.err);
    let said = cluster.wharf(&["drain", "n9"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.err.contains("n9"), "{}", said.err);
    assert_eq!(cluster.wharf(&["drain", "n1", "--deadline", "0s"]).code, 64);
    let said = cluster.wharf(&["drain", "n1", "--deadline", "169h"]);
    assert_eq!((said.code, said.err.contains("a week")), (1, true), "{}", said.err);
    assert_eq!(cluster.wharf(&["drain", "n1", "--force", "--deadline", "1m"]).code, 64);
}

#[test]
fn tasks_move_over_to_a_node_that_is_opened_and_each_is_replaced_before_it_stops() {
    let cluster = Cluster::start();
    let _done = cluster.wharf(&["cordon", "n2"]).good();
    let file =
        APP.replace(", order: stop-first", "").replace("    x-wharf: {min_available: 3}\n", "");
    let _done = cluster.deploy(&file).good();
    assert_eq!((running_on(&cluster, "n1"), running_on(&cluster, "n2")), (4, 0));
    assert_eq!(cluster.wharf(&["rebalance", "--plan"]).code, 0, "there is nowhere to go");
    let _done = cluster.wharf(&["uncordon", "n2"]).good();
    let plan = cluster.wharf(&["rebalance", "--plan"]);
    assert_eq!(plan.code, 2, "{}", plan.err);
    assert_eq!(plan.out.matches("n2").count(), 2, "{}", plan.out);
    let _done = cluster.wharf(&["rebalance"]).good();
    let mut least = usize::MAX;
    until("two tasks have moved over", SOON, || {
        least = least.min(cluster.running().len());
        let there = (running_on(&cluster, "n1"), running_on(&cluster, "n2"));
        if there == (2, 2) { Ok(()) } else { Err(format!("{there:?}")) }
    });
    assert!(least >= 4, "only {least} ran");
    assert_eq!(cluster.wharf(&["rebalance", "--plan"]).code, 0, "there is nothing to do");
}
