//! What happens when the Docker engine itself goes away, or has no room left. On an engine of our own.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::process::Command;

use serde_json::Value;
use system_tests::engine::LiveRestore;
use system_tests::{Cluster, Engine, Options, SOON, Said, Scratch, until};

fn app(replicas: u32, version: u32) -> String {
    format!(
        "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sh, -c, 'sleep 100000']
    environment: {{VERSION: '{version}'}}
    network_mode: host
    init: true
    stop_grace_period: 1s
    deploy: {{replicas: {replicas}, update_config: {{monitor: 0s}}}}
"
    )
}

fn on(engine: &Engine) -> Cluster {
    Cluster::with(Options { nodes: 1, socket: Some(engine.socket()), ..Options::default() })
}

fn node_is(cluster: &Cluster, state: &str) {
    until(&format!("the node is {state}"), SOON, || {
        let node = cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
        if node["state"] == state { Ok(()) } else { Err(node.to_string()) }
    });
}

fn run(cluster: &Cluster, wanted: usize) {
    until(&format!("{wanted} tasks run"), SOON, || {
        let tasks = cluster.live();
        let running = tasks.iter().filter(|task| task["state"] == "running").count();
        let containers = cluster.running().len();
        if running == wanted && containers == wanted { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
}

#[test]
fn r5_with_live_restore_an_engine_that_was_killed_harms_no_container() {
    let mut engine = Engine::start(LiveRestore::On);
    let cluster = on(&engine);
    let _done = cluster.deploy(&app(3, 1)).good();
    let before = cluster.running();
    engine.kill();
    node_is(&cluster, "wedged");
    // Nobody can ask, so nobody knows: nothing is dead, and nothing is replaced.
    let tasks = cluster.live();
    assert!(tasks.iter().all(|task| task["state"] == "running"), "{tasks:?}");
    // One ends while nobody looks. No event ever tells of it.
    let victim =
        i32::try_from(before[0].pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    engine.restart();
    node_is(&cluster, "ready");
    until("the one that ended runs again, and the others still do", SOON, || {
        let now = cluster.running();
        let kept = before[1..].iter().filter(|one| now.contains(one)).count();
        if kept == 2 && now.len() == 3 { Ok(()) } else { Err(format!("{now:?}")) }
    });
}

#[test]
fn without_live_restore_what_the_engine_stopped_is_started_again() {
    let mut engine = Engine::start(LiveRestore::Off);
    let cluster = on(&engine);
    let _done = cluster.deploy(&app(3, 1)).good();
    for harm in [Engine::stop, Engine::kill] {
        harm(&mut engine);
        node_is(&cluster, "wedged");
        engine.restart();
        node_is(&cluster, "ready");
        run(&cluster, 3);
    }
}

/// A small file system of its own.
struct Small(Scratch);

impl Small {
    fn mount(mebibytes: u32) -> Self {
        let scratch = Scratch::new();
        let size = format!("size={mebibytes}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "wharf-test"]).arg(scratch.path());
        let said = Said::by(&mut command, "");
        assert_eq!(said.code, 0, "a full disk needs root to mount one: {}", said.err);
        Self(scratch)
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let file = format!("of={}", self.0.path().join("ballast").display());
        // It ends when there is no room left, which is what is wanted.
        let _full = Said::by(Command::new("dd").args(["if=/dev/zero", &file, "bs=4k"]), "");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Said::by(Command::new("umount").arg("-l").arg(self.0.path()), "");
    }
}

#[test]
fn a_full_disk_at_the_engine_is_named_and_gone_again_when_there_is_room() {
    let small = Small::mount(96);
    let mut engine =
        Engine::with_root(LiveRestore::Off, Scratch::new(), small.0.path().join("root"));
    let cluster = on(&engine);
    let _done = cluster.deploy(&app(1, 1)).good();
    small.fill();
    let _said = cluster.deploy_with(&app(2, 2), &["--detach"]).good();
    let why = until("the reason is shown", SOON, || {
        let tasks = cluster.tasks();
        let notes: Vec<String> = tasks.iter().map(Value::to_string).collect();
        let found =
            notes.iter().find(|note| note.contains("no space left") || note.contains("disk"));
        found.cloned().ok_or_else(|| format!("{tasks:?}"))
    });
    assert!(why.contains("space") || why.contains("full"), "{why}");
    small.make_room();
    run(&cluster, 2);
    drop(cluster);
    engine.stop();
}

#[test]
fn a_full_disk_at_the_store_refuses_writes_and_loses_nothing() {
    let small = Small::mount(8);
    let mut cluster = Cluster::with_data_dir(small.0.path().join("data"));
    let _done = cluster.deploy(&app(1, 1)).good();
    let before = cluster.containers();
    small.fill();
    let mut acknowledged = 1;
    let refused = loop {
        let said = cluster.deploy_with(&app(1, acknowledged + 1), &["--detach"]);
        if said.code != 0 {
            break said.err;
        }
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the store never fills");
    };
    assert!(refused.contains("full") || refused.contains("space"), "{refused}");
    assert!(refused.contains("hint:"), "{refused}");
    assert_eq!(cluster.running().len(), before.len(), "what runs goes on");
    // Reading still works, and so does a crash.
    let _status = cluster.wharf(&["status"]).good();
    small.make_room();
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.nodes_are_ready(1);
    let file = cluster.scratch.write("last.yaml", &app(1, acknowledged)).display().to_string();
    assert_eq!(cluster.wharf(&["plan", &file]).code, 0, "version {acknowledged} was acknowledged");
    let _done = cluster.deploy(&app(1, 5_000)).good();
}
