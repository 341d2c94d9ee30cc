//! What happens to containers when the agent of their node does not do well.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;

use serde_json::Value;
use system_tests::{Cluster, SOON, until};

const SLEEPERS: &str = "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sleep, '100000']
    stop_grace_period: 1s
    deploy: {replicas: 4}
";

/// The ids of all containers and when they were started.
fn born(cluster: &Cluster) -> Vec<(String, String)> {
    cluster.containers().into_iter().map(|one| (one.id, one.started_at)).collect()
}

#[test]
fn an_agent_that_was_killed_adopts_its_containers_and_restarts_none() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(SLEEPERS).good();
    let before = born(&cluster);
    assert_eq!(before.len(), 4);
    for node in ["n1", "n2"] {
        cluster.kill_agent(node);
        cluster.start_agent(node);
    }
    cluster.nodes_are_ready(2);
    // That they are looked after again is shown by what happens to one that ends.
    let victim = cluster.containers().remove(0);
    cluster.docker.run(&["kill", &victim.id]);
    until("the container that was killed runs again", SOON, || {
        let running = cluster.running();
        if running.len() == 4 && running.iter().any(|one| one.task == victim.task) {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        }
    });
    let after = cluster.running();
    let is_kept = |(id, started_at): &&(String, String)| {
        after.iter().any(|one| one.id == *id && one.started_at == *started_at)
    };
    assert_eq!(before.iter().filter(is_kept).count(), 3, "{before:?} {after:?}");
}

#[test]
fn exit_codes_of_containers_that_ended_without_an_agent_are_reported() {
    let mut cluster = Cluster::start();
    let text = "
name: lab
services:
  once:
    image: wharf-test:1
    command: [sh, -c, 'while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 7']
    restart: 'no'
    deploy: {replicas: 2, restart_policy: {condition: none}}
";
    let _deployed = cluster.deploy(text).good();
    let ids: Vec<String> = cluster.live().iter().map(|task| task["id"].to_string()).collect();
    for node in ["n1", "n2"] {
        cluster.kill_agent(node);
    }
    for container in cluster.containers() {
        cluster.docker.run(&["exec", &container.id, "touch", "/tmp/go"]);
    }
    until("both containers end", SOON, || {
        let running = cluster.running();
        if running.is_empty() { Ok(()) } else { Err(format!("{running:?}")) }
    });
    for node in ["n1", "n2"] {
        cluster.start_agent(node);
    }
    until("their exit codes are known", SOON, || {
        let tasks = cluster.tasks();
        let told = |task: &&Value| {
            ids.contains(&task["id"].to_string()) && task["exit"]["code"].as_i64() == Some(7)
        };
        if tasks.iter().filter(told).count() == 2 { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
}

#[test]
fn r12_a_journal_that_is_damaged_or_lost_is_rebuilt_and_restarts_nothing() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(SLEEPERS).good();
    let before = born(&cluster);
    for round in 0..3 {
        for node in ["n1", "n2"] {
            cluster.kill_agent(node);
            for entry in fs::read_dir(cluster.state_dir(node)).unwrap().flatten() {
                let bytes = fs::read(entry.path()).unwrap();
                match round {
                    0 => fs::write(entry.path(), &bytes[..bytes.len() / 2]).unwrap(),
                    1 => fs::write(entry.path(), [0xa5; 4096]).unwrap(),
                    _ => fs::remove_file(entry.path()).unwrap(),
                }
            }
            cluster.start_agent(node);
        }
        cluster.nodes_are_ready(2);
        until("all tasks are known to run", SOON, || {
            let tasks = cluster.live();
            let running = tasks.iter().filter(|task| task["state"] == "running").count();
            if running == 4 { Ok(()) } else { Err(format!("{tasks:?}")) }
        });
        assert_eq!(born(&cluster), before, "round {round}");
    }
}

#[test]
fn an_agent_that_is_told_to_stop_leaves_its_containers_alone() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(SLEEPERS).good();
    let before = born(&cluster);
    assert!(cluster.agent("n1").stop().success());
    cluster.start_agent("n1");
    cluster.nodes_are_ready(2);
    assert_eq!(born(&cluster), before);
}
