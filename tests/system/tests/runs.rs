//! Jobs on a real engine, one of their own: to their end, again after a failure, and by a schedule through the death of a
//! coordinator.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::collections::BTreeSet;

use serde_json::Value;
use system_tests::engine::LiveRestore;
use system_tests::{Cluster, Engine, Options, SOON, until};

fn job(command: &str, deploy: &str, wharf: &str) -> String {
    format!(
        "
name: lab
services:
  job:
    image: wharf-test:1
    command: [sh, -c, '{command}']
    network_mode: host
    stop_grace_period: 0s
    deploy: {{{deploy}}}
    x-wharf: {{{wharf}}}
"
    )
}

fn on(engine: &Engine) -> Cluster {
    Cluster::with(Options { socket: Some(engine.socket()), ..Options::default() })
}

fn runs(cluster: &Cluster) -> Vec<Value> {
    let history = cluster.wharf(&["job", "history", "lab/job", "-o", "json"]).json();
    history.as_array().unwrap().clone()
}

fn states(cluster: &Cluster) -> Vec<String> {
    runs(cluster).iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_job_runs_to_its_end_and_its_tasks_can_still_be_read() {
    let engine = Engine::start(LiveRestore::Off);
    let cluster = on(&engine);
    let text = job(
        "echo one of five",
        "mode: replicated-job, replicas: 5",
        "job: {parallelism: 2, history: {succeeded: 1}}",
    );
    let plan = cluster.scratch.write("compose.yaml", &text);
    let plan = cluster.wharf(&["plan", plan.to_str().unwrap()]);
    assert_eq!((plan.code, plan.out.matches("slot r1-").count()), (2, 2), "{}", plan.out);
    let said = cluster.deploy(&text).good();
    assert!(said.contains("run 1 succeeded"), "{said}");
    let tasks = cluster.wharf(&["ps", "-a", "-o", "json"]).json();
    let tasks = tasks.as_array().unwrap();
    assert!(tasks.iter().all(|task| task["state"] == "completed" && task["run"] == 1));
    let slots: BTreeSet<&str> = tasks.iter().map(|task| task["slot"].as_str().unwrap()).collect();
    assert_eq!(slots, BTreeSet::from(["1", "2", "3", "4", "5"]));
    let logs = cluster.wharf(&["logs", "lab/job"]).good();
    assert_eq!(logs.matches("one of five").count(), 5, "{logs}");
    let services = cluster.wharf(&["service", "ls"]).good();
    assert!(services.contains("job 5/5") && services.contains("steady"), "{services}");
    // The same again is nothing to do; by order it is.
    let _same = cluster.deploy(&text).good();
    assert_eq!(states(&cluster), ["succeeded"]);
    let _done = cluster.wharf(&["job", "run", "lab/job"]).good();
    assert_eq!(runs(&cluster)[0]["run"], 2, "only the newest is remembered");
    until("the containers of the first run are gone", SOON, || match cluster.containers().len() {
        5 => Ok(()),
        count => Err(format!("{count} containers")),
    });
    let _gone = cluster.wharf(&["rm", "-y", "lab/job"]).good();
    until("nothing is left", SOON, || match cluster.containers().len() {
        0 => Ok(()),
        count => Err(format!("{count} containers")),
    });
}

#[test]
fn a_job_that_fails_is_tried_again_and_then_said_to_have_failed() {
    let engine = Engine::start(LiveRestore::Off);
    let cluster = on(&engine);
    let text = job("exit 3", "mode: replicated-job", "job: {retries: 1, backoff: 100ms}");
    let said = cluster.deploy(&text);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.err.contains("slot 1 failed 2 times"), "{}", said.err);
    let run = runs(&cluster).remove(0);
    assert_eq!((&run["state"], &run["cause"]), (&"failed".into(), &"deployed".into()));
    let why = cluster.wharf(&["explain", "lab/job"]).good();
    assert!(why.contains("is halted: run 1 failed") && why.contains("exit code 3"), "{why}");
    // Deployed again it runs again, and a job that takes too long is stopped.
    assert_eq!(cluster.deploy(&text).code, 3);
    assert_eq!(states(&cluster), ["failed", "failed"]);
    let slow = job("sleep 1000", "mode: global-job", "job: {deadline: 3s}");
    let said = cluster.deploy(&slow);
    assert!(said.code == 3 && said.err.contains("deadline of 3 s"), "{}{}", said.out, said.err);
    until("nothing runs", SOON, || match cluster.running().len() {
        0 => Ok(()),
        count => Err(format!("{count} containers")),
    });
}

/// Whatever its schedule says, and beside its own runs.
#[test]
fn a_command_runs_once_in_the_image_of_a_job_and_leaves_nothing() {
    let engine = Engine::start(LiveRestore::Off);
    let cluster = on(&engine);
    let _accepted = cluster.deploy(&job("true", "", "schedule: \"@yearly\"")).good();
    let said = cluster.wharf(&["run", "lab/job", "sh", "-c", "echo once; exit 7"]);
    assert_eq!((said.code, said.out.as_str()), (7, "once\n"), "{}", said.err);
    assert_eq!(states(&cluster), Vec::<String>::new());
    until("nothing is left", SOON, || match cluster.containers().len() {
        0 => Ok(()),
        count => Err(format!("{count} containers")),
    });
}

/// The times for which there are runs, as far as they are remembered.
fn due(cluster: &Cluster) -> Vec<String> {
    let runs = runs(cluster).into_iter();
    runs.filter_map(|run| run["due_at"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_schedule_goes_on_through_the_death_of_a_coordinator_and_runs_no_time_twice() {
    let engine = Engine::start(LiveRestore::Off);
    let mut cluster = on(&engine);
    let text = job(
        "true",
        "",
        "schedule: {cron: \"@every 2s\", catch_up: none}, job: {history: {succeeded: 100}}",
    );
    let _accepted = cluster.deploy(&text).good();
    let some = |cluster: &Cluster, least: usize| {
        until("there are runs", SOON, || match due(cluster).len() {
            count if count >= least => Ok(()),
            count => Err(format!("{count} runs")),
        });
    };
    some(&cluster, 3);
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.nodes_are_ready(2);
    let before = due(&cluster).len();
    some(&cluster, before + 3);
    let all = due(&cluster);
    let unique: BTreeSet<&String> = all.iter().collect();
    assert_eq!((unique.len(), all.is_sorted()), (all.len(), true), "{all:?}");
    let even = |at: &String| at.trim_end_matches('Z').ends_with(['0', '2', '4', '6', '8']);
    assert!(all.iter().all(even), "{all:?}");

    let _done = cluster.wharf(&["job", "suspend", "lab/job"]).good();
    until("no run is in progress", SOON, || match states(&cluster).last().unwrap().as_str() {
        "running" => Err("one is".to_owned()),
        _ => Ok(()),
    });
    let jobs = cluster.wharf(&["job", "ls"]).good();
    assert!(jobs.contains("suspended") && jobs.contains("@every 2s"), "{jobs}");
    let held = cluster.wharf(&["job", "ls", "-o", "json"]).json();
    assert_eq!(
        (&held[0]["job"]["suspended"], &held[0]["job"]["next_at"]),
        (&true.into(), &Value::Null)
    );
    let _run = cluster.wharf(&["job", "run", "lab/job"]).good();
    assert_eq!(runs(&cluster).last().unwrap()["cause"], "asked", "nothing was due since");
    let _done = cluster.wharf(&["job", "resume", "lab/job"]).good();
    let count = due(&cluster).len();
    some(&cluster, count + 1);
}

#[test]
fn what_can_not_be_asked_of_a_job_is_refused_with_what_can() {
    let engine = Engine::start(LiveRestore::Off);
    let cluster = on(&engine);
    let text = job("sleep 1000", "mode: replicated-job", "");
    let _sent = cluster.deploy_with(&text, &["--detach"]).good();
    let said = cluster.wharf(&["job", "run", "lab/job"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.err.contains("run 1 in progress") && said.err.contains("job stop"),
        "{}",
        said.err
    );
    let said = cluster.wharf(&["job", "suspend", "lab/job"]);
    assert!(said.code == 1 && said.err.contains("no schedule"), "{}", said.err);
    let said = cluster.wharf(&["scale", "lab/job=3"]);
    assert!(said.code == 1 && said.err.contains("not replicated"), "{}", said.err);
    let _done = cluster.wharf(&["job", "stop", "lab/job"]).good();
    assert_eq!(states(&cluster), ["stopped"]);
    let said = cluster.wharf(&["job", "stop", "lab/job"]);
    assert!(said.code == 1 && said.err.contains("no run in progress"), "{}", said.err);
    assert_eq!(cluster.wharf(&["job", "run", "lab/jbo"]).err.matches("lab/job").count(), 1);
}
