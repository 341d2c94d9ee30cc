//! What happens when the coordinator crashes, is away, or finds its store not as it left it.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::program::built;
use system_tests::{Cluster, Options, SOON, Said, until};

fn app(version: u32, replicas: u32) -> String {
    format!(
        "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sleep, '100000']
    environment: {{VERSION: '{version}'}}
    stop_grace_period: 1s
    deploy:
      replicas: {replicas}
      update_config: {{parallelism: 2, monitor: 0s}}
"
    )
}

/// The newest generation of the app.
fn generation(cluster: &Cluster) -> u64 {
    let found = cluster.wharf(&["service", "inspect", "lab/app", "-o", "json"]).json();
    found["generation"]["number"].as_u64().unwrap()
}

#[test]
fn fifty_crashes_in_the_middle_of_deployments_lose_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(&app(0, 2)).good();
    for version in 1..=50 {
        // The moments differ: sometimes nothing is written yet, sometimes agents are at work.
        let file = cluster.scratch.write("compose.yaml", &app(version, 2)).display().to_string();
        let mut command = cluster.wharf_command();
        command.args(["deploy", "-y", "--detach", &file]);
        let deploying = std::thread::spawn(move || Said::by(&mut command, ""));
        std::thread::sleep(Duration::from_millis(u64::from(version % 10) * 12));
        cluster.kill_coordinator();
        let acknowledged = deploying.join().unwrap().code == 0;
        cluster.start_coordinator();
        let found = cluster.wharf(&["service", "inspect", "lab/app", "-o", "json"]).json();
        let is_there = found.to_string().contains(&format!("VERSION={version}"))
            || found["generation"]["containers"].to_string().contains(&version.to_string());
        assert!(!acknowledged || is_there || generation(&cluster) > 1, "{version}: {found}");
        if acknowledged {
            let plan = cluster.wharf(&["plan", &file]);
            assert_eq!(
                plan.code, 0,
                "version {version} was acknowledged: {}{}",
                plan.out, plan.err
            );
        }
    }
    let _deployed = cluster.deploy(&app(51, 2)).good();
    until("the last version runs, and nothing else", SOON, || {
        let running = cluster.running();
        let environments = running
            .iter()
            .map(|one| cluster.docker.run(&["inspect", "-f", "{{json .Config.Env}}", &one.id]));
        let right = environments.filter(|found| found.contains("VERSION=51")).count();
        if right == 2 && cluster.containers().len() == 2 {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        }
    });
}

#[test]
fn without_a_coordinator_nothing_stops_and_restarts_still_happen() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(&app(0, 4)).good();
    let before = cluster.running();
    cluster.kill_coordinator();
    let victim = &before[0];
    cluster.docker.run(&["kill", &victim.id]);
    until("the agent restarts the container that was killed by itself", SOON, || {
        let running = cluster.running();
        let is_back = running.iter().any(|one| one.task == victim.task);
        if is_back && running.len() == 4 { Ok(()) } else { Err(format!("{running:?}")) }
    });
    for other in &before[1..] {
        let now = cluster.docker.container(&other.id).unwrap();
        assert_eq!(now.started_at, other.started_at);
    }
    cluster.start_coordinator();
    cluster.nodes_are_ready(2);
    until("the restart is reported", SOON, || {
        let tasks = cluster.live();
        let restarts: u64 = tasks.iter().filter_map(|task| task["restarts"].as_u64()).sum();
        if restarts == 1 { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
}

#[test]
fn r3_a_coordinator_that_has_forgotten_everything_stops_nothing() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(&app(0, 4)).good();
    let before = cluster.running();
    assert_eq!(before.len(), 4);
    cluster.kill_coordinator();
    fs::remove_dir_all(cluster.data_dir()).unwrap();
    let path = cluster.scratch.path().join("n1.log");
    let log = || fs::read_to_string(&path).unwrap();
    // One complaint must not hide the next, which is about something else.
    until("the agent misses its coordinator", SOON, || {
        let log = log();
        if log.contains("does not answer") { Ok(()) } else { Err(log) }
    });
    cluster.start_coordinator();
    let refused = until("the agents say that this is another cluster", SOON, || {
        let log = log();
        let line = log.lines().find(|line| line.contains("is not of this cluster"));
        line.map(str::to_owned).ok_or(log)
    });
    assert!(refused.contains("has to join it anew"), "{refused}");
    assert_eq!(cluster.running(), before);
}

#[test]
fn a_store_that_is_damaged_is_refused_and_kept_as_it_is() {
    let mut cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    let _deployed = cluster.deploy(&app(0, 1)).good();
    assert!(cluster.coordinator().stop().success());
    let path = cluster.data_dir().join("wharf.db");
    let good = fs::read(&path).unwrap();
    let garbage = vec![0xa5; 8192];
    for damaged in [&good[..good.len() / 2], &garbage[..], b"not a database"] {
        fs::write(&path, damaged).unwrap();
        let said = Said::by(&mut cluster.coordinator_command(), "");
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains(&path.display().to_string()), "{}", said.err);
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
    fs::write(&path, &good).unwrap();
    cluster.start_coordinator();
    assert_eq!(generation(&cluster), 1);
}

#[test]
fn a_second_coordinator_on_the_same_store_ends_at_once() {
    let cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    let mut second = Command::new(built("wharf-coordinator"));
    second.args(["--plaintext", "--listen", "127.0.0.1:0", "--data-dir"]).arg(cluster.data_dir());
    let said = Said::by(&mut second, "");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("another") && said.err.contains("wharf"), "{}", said.err);
    let _still_there = cluster.wharf(&["status"]).good();
}

#[test]
fn what_a_coordinator_heard_can_be_decided_again_from_its_recorder() {
    let mut cluster = Cluster::start();
    let _deployed = cluster.deploy(&app(1, 3)).good();
    let _scaled = cluster.wharf(&["scale", "app=2"]).good();
    let _refused = cluster.wharf(&["rollback", "app"]).bad(1);
    until("one of three is over", SOON, || {
        let tasks = cluster.tasks();
        let is_over = tasks.iter().any(|task| task["state"] == "completed");
        if is_over { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
    let ids: Vec<String> =
        cluster.tasks().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    cluster.kill_coordinator();
    let flight = cluster.data_dir().join("flight");
    let replay = |path: &Path| {
        let mut command = Command::new(built("wharf-coordinator"));
        Said::by(command.arg("replay").arg(path), "")
    };
    let told = replay(&flight).good();
    assert!(told.contains("heard    deploy lab/app"), "{told}");
    assert!(told.contains("decided  service lab/app generation 1 runs in every slot"), "{told}");
    assert!(told.contains("scale lab/app to 2"), "{told}");
    assert!(told.contains("roll lab/app back: refused"), "{told}");
    assert!(told.contains("1 services, 3 tasks; every invariant holds"), "{told}");
    assert!(ids.iter().all(|id| told.contains(id)), "{ids:?} {told}");
    // A crash may cut the last entry short. What is damaged before that is not made up.
    let mut bytes = fs::read(&flight).unwrap();
    let torn = cluster.scratch.path().join("torn");
    fs::write(&torn, &bytes[..bytes.len() - 3]).unwrap();
    assert!(replay(&torn).good().contains("heard    deploy lab/app"));
    bytes[20] ^= 1;
    fs::write(&torn, &bytes).unwrap();
    assert!(replay(&torn).bad(1).contains("checksum"));
}
