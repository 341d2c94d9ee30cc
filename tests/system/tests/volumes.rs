//! Volumes that somebody else has made, and what a node has beside processors and memory.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::time::Duration;

use system_tests::docker::{Docker, IMAGE};
use system_tests::{Cluster, Options, SOON, until};

/// The agent looks once a minute at what is on the disk of its engine.
const LOOKED: Duration = Duration::from_secs(120);

/// A volume of the engine, removed with this value.
struct Made<'a>(&'a Docker, String);

impl<'a> Made<'a> {
    fn new(docker: &'a Docker, name: String) -> Self {
        docker.run(&["volume", "create", &name]);
        Self(docker, name)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let _said = self.0.try_run(&["volume", "rm", "-f", &self.1]);
    }
}

fn reads(volume: &str) -> String {
    format!(
        "
name: lab
services:
  app:
    image: {IMAGE}
    command: [sh, -c, 'cat /data/word && exec sleep 100000']
    stop_grace_period: 1s
    volumes: ['data:/data:ro']
    deploy: {{update_config: {{monitor: 0s}}}}
volumes: {{data: {{external: true, name: {volume}}}}}
"
    )
}

#[test]
fn a_task_goes_where_somebody_has_made_its_volume_and_waits_until_one_has() {
    let cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let docker = Docker::default();
    let volume = format!("lent-{}", std::process::id());
    let _said = cluster.deploy_with(&reads(&volume), &["--detach"]).good();
    let missing = format!("without the volume {volume}");
    until("it waits, and it is said for what", SOON, || {
        let told = cluster.wharf(&["explain", "lab/app"]).good();
        if told.contains(&missing) && told.contains("docker volume create") {
            Ok(())
        } else {
            Err(told)
        }
    });
    let made = Made::new(&docker, volume);
    let at = format!("{}:/data", made.1);
    docker.run(&["run", "--rm", "-v", &at, IMAGE, "sh", "-c", "echo hello > /data/word"]);
    until("the agent has seen it", LOOKED, || match cluster.running().as_slice() {
        [one] if one.status == "running" => Ok(()),
        all => Err(format!("{all:?}")),
    });
    until("it has read what was put there", SOON, || {
        let told = cluster.wharf(&["logs", "lab/app"]).good();
        if told.contains("hello") { Ok(()) } else { Err(told) }
    });
    let _said = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    until("the container is gone", SOON, || match cluster.containers().as_slice() {
        [] => Ok(()),
        all => Err(format!("{all:?}")),
    });
    let there = docker.run(&["volume", "ls", "-q"]);
    assert!(there.lines().any(|name| name == made.1), "it is not ours to remove: {there}");
}

#[test]
fn a_node_tells_of_its_disk_and_processes_and_what_asks_for_more_waits() {
    let cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let node = cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
    let of = |name: &str| node["capacity"][name].as_u64().unwrap();
    assert!(of("disk_bytes") > 1 << 30 && of("pids") >= 32_768, "{node:#}");
    let file = |pids: u64, disk: &str| {
        format!(
            "
name: lab
services:
  app:
    image: {IMAGE}
    command: [sh, -c, exec sleep 100000]
    stop_grace_period: 1s
    x-wharf: {{reserve: {{disk: {disk}, pids: {pids}}}}}
    deploy: {{update_config: {{monitor: 0s}}}}
"
        )
    };
    let _said = cluster.deploy(&file(100, "5m")).good();
    let node = cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
    let held = &node["reserved"];
    assert_eq!((held["pids"].as_u64(), held["disk_bytes"].as_u64()), (Some(100), Some(5 << 20)));
    let _said = cluster.deploy_with(&file(100, "900000g"), &["--detach"]).good();
    until("it is said what is missing", SOON, || {
        let told = cluster.wharf(&["explain", "lab/app"]).good();
        if told.contains("without enough free disk") { Ok(()) } else { Err(told) }
    });
}
