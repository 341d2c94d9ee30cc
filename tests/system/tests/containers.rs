//! What happens to containers, and what others do to them behind our back.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::{Cluster, Container, Options, SOON, until};

fn one_node() -> Cluster {
    Cluster::with(Options { nodes: 1, ..Options::default() })
}

/// A service of one task that runs a line of shell.
fn shell(line: &str, more: &str) -> String {
    format!(
        "
name: lab
services:
  app:
    image: {IMAGE}
    command: [sh, -c, {line:?}]
    stop_grace_period: 1s
{more}
"
    )
}

/// Waits until exactly one container of the cluster is there and runs.
#[track_caller]
fn alone(cluster: &Cluster) -> Container {
    until("the task has one container, and it runs", SOON, || {
        let all = cluster.running();
        match all.as_slice() {
            [one] if one.status == "running" => Ok(one.clone()),
            all => Err(format!("{all:?}")),
        }
    })
}

#[test]
fn what_others_do_to_our_containers_is_healed() {
    let cluster = one_node();
    // Four ends in a row: with the default delay the last of them waits longer than the whole test.
    let soon = "    deploy: {restart_policy: {delay: 100ms}}";
    let _deployed = cluster.deploy(&shell("exec sleep 100000", soon)).good();
    for harm in [&["rm", "-f"][..], &["stop", "-t", "0"], &["kill"]] {
        let before = alone(&cluster);
        cluster.docker.run(&[harm, &[&before.id]].concat());
        let after = alone(&cluster);
        assert!(
            after.id != before.id || after.started_at != before.started_at,
            "{harm:?}: {after:?}"
        );
    }
    let before = alone(&cluster);
    cluster.docker.run(&["pause", &before.id]);
    let unpaused = alone(&cluster);
    assert_eq!((unpaused.id, unpaused.started_at), (before.id, before.started_at));
    let before = alone(&cluster);
    cluster.docker.run(&["rename", &before.id, "somebody-elses-name"]);
    cluster.docker.run(&["kill", &before.id]);
    let after = alone(&cluster);
    assert!(after.name.starts_with("wharf-"), "{after:?}");
}

#[test]
fn r7_containers_of_others_are_never_touched() {
    let foreign = format!("wharf-foreign-{}", std::process::id());
    let cluster = one_node();
    let docker = &cluster.docker;
    docker.run(&[
        "run",
        "-d",
        "--rm",
        "--init",
        "--name",
        &foreign,
        "--label",
        "wharf.cluster=another-cluster",
        "--label",
        "wharf.node=n1",
        "--label",
        "wharf.task=lab.app.1.0",
        IMAGE,
        "sleep",
        "100000",
    ]);
    let before = docker.container(&foreign).unwrap();
    let _deployed = cluster.deploy(&shell("exec sleep 100000", "")).good();
    let _removed = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    until("ours is gone", SOON, || {
        let ours = cluster.containers();
        if ours.is_empty() { Ok(()) } else { Err(format!("{ours:?}")) }
    });
    assert_eq!(docker.container(&foreign).unwrap(), before);
    docker.run(&["rm", "-f", &foreign]);
}

#[test]
fn a_container_that_ignores_sigterm_is_killed_after_its_grace() {
    let cluster = one_node();
    let line = "trap '' TERM; touch /tmp/ready; while true; do sleep 0.1; done";
    let check =
        "    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 1s, start_period: 10s}";
    let _deployed = cluster.deploy(&shell(line, check)).good();
    let _removed = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    until("it is gone", SOON, || {
        let left = cluster.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn a_container_that_takes_too_much_memory_is_reported_as_such() {
    let cluster = one_node();
    let limit = "    restart: 'no'\n    deploy: {resources: {limits: {memory: 16M}}, restart_policy: {condition: none}}";
    let line = "sleep 2; tail /dev/zero";
    let _said = cluster.deploy_with(&shell(line, limit), &["--detach"]).good();
    let exit = until("its end is known", SOON, || {
        let tasks = cluster.tasks();
        let exit = tasks.iter().map(|task| task["exit"].clone()).find(Value::is_object);
        exit.ok_or_else(|| format!("{tasks:?}"))
    });
    assert_eq!(exit["oom"], true, "{exit}");
    assert_eq!(exit["code"], 137, "{exit}");
}

#[test]
fn a_deployment_that_crashes_is_rolled_back_and_the_old_one_goes_on() {
    let cluster = Cluster::start();
    let update = "    deploy:\n      replicas: 2\n      update_config: {failure_action: rollback, monitor: 2s}";
    let _deployed = cluster.deploy(&shell("exec sleep 100000", update)).good();
    let refused = cluster.deploy(&shell("exit 1", update)).bad(3);
    assert!(refused.contains("rolled back"), "{refused}");
    until("two tasks of the old spec run, and nothing else", SOON, || {
        let running = cluster.running();
        // One may be gone by now.
        let command = |one: &Container| {
            cluster.docker.try_run(&["inspect", "-f", "{{json .Config.Cmd}}", &one.id]).out
        };
        let commands = running.iter().map(command);
        let old = commands.filter(|command| command.contains("sleep 100000")).count();
        if old == 2 && running.len() == 2 { Ok(()) } else { Err(format!("{running:?}")) }
    });
    let history = cluster.wharf(&["service", "history", "lab/app", "-o", "json"]).json();
    assert!(history.to_string().contains("failed"), "{history}");
}

#[test]
fn a_service_that_crashes_is_restarted_ever_more_slowly() {
    let cluster = one_node();
    let _said = cluster.deploy_with(&shell("exit 3", ""), &["--detach"]).good();
    until("it was restarted and waits", SOON, || {
        let tasks = cluster.tasks();
        let restarts = |task: &Value| task["restarts"].as_u64().unwrap_or_default();
        let tried = tasks.iter().map(|task| 1 + restarts(task)).sum::<u64>();
        if tried >= 3 { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
    let why = cluster.wharf(&["explain", "lab/app"]).good();
    assert!(why.contains('3'), "the exit code is named: {why}");
}

#[test]
fn an_image_that_does_not_exist_is_refused_before_anything_changes() {
    let cluster = one_node();
    let text = "name: lab\nservices: {app: {image: 'localhost:1/absent:1'}}\n";
    let refused = cluster.deploy(text);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("localhost:1/absent:1"), "{}", refused.err);
    assert!(refused.err.contains("hint:"), "{}", refused.err);
    assert!(cluster.tasks().is_empty());
}

/// Each reserves three quarters of the node.
#[test]
fn what_matters_more_takes_the_room_of_what_matters_less() {
    let cluster = one_node();
    let node = cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
    let millis = node["capacity"]["cpu_millis"].as_u64().unwrap();
    let cpus = format!("{}.{:03}", millis * 3 / 4 / 1_000, millis * 3 / 4 % 1_000);
    let file = |name: &str, priority: &str| {
        format!(
            "name: lab
services:
  {name}:
    image: {IMAGE}
    command: [sh, -c, exec sleep 100000]
    stop_grace_period: 1s
    x-wharf: {{priority: {priority}}}
    deploy: {{update_config: {{monitor: 0s}}, resources: {{reservations: {{cpus: '{cpus}'}}}}}}
"
        )
    };
    let _said = cluster.deploy(&file("mill", "low")).good();
    let next = cluster.scratch.write("next.yaml", &file("shop", "high")).display().to_string();
    let plan = cluster.wharf(&["plan", &next]);
    assert!(plan.out.contains("lab.mill.1.") && plan.out.contains("stops for it"), "{}", plan.out);
    let _said = cluster.deploy(&file("shop", "high")).good();
    let tasks = cluster.tasks();
    let is = |service: &str, state: &str| {
        tasks.iter().any(|task| task["service"] == service && task["state"] == state)
    };
    assert!(is("shop", "running") && is("mill", "pending"), "{tasks:#?}");
    let events = cluster.wharf(&["events"]).good();
    assert!(events.contains("something that matters more needs its room"), "{events}");
}

/// No machine of ours has a GPU: the engine is asked for one all the same, and says that it has no driver for it.
#[test]
fn gpus_are_counted_by_the_coordinator_and_asked_of_the_engine() {
    let agent_arguments = &["--prefer-local-images", "--gpus", "1"];
    let cluster = Cluster::with(Options { nodes: 1, agent_arguments, ..Options::default() });
    let wanted = "    deploy: {replicas: 2, resources: {reservations: {devices: [{capabilities: [gpu], count: 1}]}}}";
    let _said = cluster.deploy_with(&shell("exec sleep 100000", wanted), &["--detach"]).good();
    until("one has the GPU and one waits for it", SOON, || {
        let told = cluster.wharf(&["explain", "lab/app"]).good();
        let waits = told.contains("without enough free GPUs");
        let has_asked = told.contains("device driver") && told.contains("gpu");
        if waits && has_asked { Ok(()) } else { Err(told) }
    });
    let node = cluster.wharf(&["node", "inspect", "n1", "-o", "json"]).json();
    assert_eq!((&node["capacity"]["gpus"], &node["reserved"]["gpus"]), (&1.into(), &1.into()));
}

/// Deploys a service whose containers are strict, and waits for the containers or for what is said of none.
fn strict(cluster: &Cluster, line: &str, more: &str) {
    let more = format!("{more}\n    x-wharf: {{profile: strict}}");
    let _said = cluster.deploy_with(&shell(line, &more), &["--detach"]).good();
}

#[test]
fn what_is_strict_can_do_nothing_that_it_does_not_ask_for_and_is_never_root() {
    let cluster = one_node();
    // The image's own user is root, and its spec says nothing else.
    strict(&cluster, "exec sleep 100000", "");
    until("it is refused by the agent, which says why", SOON, || {
        let told = cluster.wharf(&["explain", "lab/app"]).good();
        let is_told = told.contains("is of an image that runs as root");
        if is_told { Ok(()) } else { Err(told) }
    });
    assert_eq!(cluster.running(), []);
    let _removed = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    until("nothing is left", SOON, || {
        let left = cluster.live();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let asks = "    user: '1000:1000'\n    cap_add: [NET_BIND_SERVICE]\n    tmpfs: [/scratch]";
    strict(&cluster, "exec sleep 100000", asks);
    let container = alone(&cluster);
    let inside =
        |words: &[&str]| cluster.docker.try_run(&[&["exec", &container.id][..], words].concat());
    let status = inside(&["cat", "/proc/1/status"]).good();
    let has = |line: &str| status.lines().any(|one| one.split_whitespace().eq(line.split(' ')));
    assert!(has("Uid: 1000 1000 1000 1000"), "{status}");
    // All that any program in it could ever have is what it asks for, which is the tenth.
    assert!(has("CapBnd: 0000000000000400") && has("NoNewPrivs: 1"), "{status}");
    assert_ne!(inside(&["touch", "/file"]).code, 0);
    assert_eq!(inside(&["touch", "/scratch/file"]).code, 0);
    let as_root = ["exec", "--user", "0", &container.id, "touch", "/file"];
    assert_ne!(cluster.docker.try_run(&as_root).code, 0, "not even root writes there");
}
