//! The operator's commands against a cluster: what they print, and how they end.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::process::Command;

use serde_json::Value;
use system_tests::terminal::Terminal;
use system_tests::{Cluster, Options, Program, SOON, until};

const APP: &str = "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sh, -c, 'echo begin; echo complaint >&2; exec sleep 100000']
    environment: {COLOUR: green}
    stop_grace_period: 1s
    deploy: {replicas: 2, update_config: {monitor: 0s}}
";

fn deployed() -> Cluster {
    let cluster = Cluster::start();
    let _done = cluster.deploy(APP).good();
    cluster
}

fn first_task(cluster: &Cluster) -> String {
    cluster.live()[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_plan_says_what_a_deployment_does_and_changes_nothing() {
    let cluster = Cluster::start();
    let file = cluster.scratch.write("compose.yaml", APP).display().to_string();
    let plan = cluster.wharf(&["plan", &file]);
    assert_eq!(plan.code, 2, "{}", plan.err);
    assert!(plan.out.contains("lab/app") && plan.out.contains("create"), "{}", plan.out);
    assert!(cluster.tasks().is_empty());
    let _done = cluster.wharf(&["deploy", "-y", &file]).good();
    assert_eq!(cluster.wharf(&["plan", &file]).code, 0);
    let changed = APP.replace("green", "blue");
    let file = cluster.scratch.write("compose.yaml", &changed).display().to_string();
    let plan = cluster.wharf(&["plan", &file]);
    assert_eq!(plan.code, 2);
    // Values may be secrets: only names are shown.
    assert!(plan.out.contains("environment.COLOUR"), "{}", plan.out);
    assert!(!plan.out.contains("green") && !plan.out.contains("blue"), "{}", plan.out);

    let exactly = plan.out.lines().find_map(|line| line.split_once("--expect ")).unwrap().1;
    assert_eq!(exactly, "app=2");
    let _faster = cluster.wharf(&["restart", "lab/app"]).good();
    let late = cluster.wharf(&["deploy", "-y", &file, "--expect", exactly]);
    assert_eq!(late.code, 1, "{}", late.err);
    assert!(
        late.err.contains("lab/app would be generation 3, and the plan said 2"),
        "{}",
        late.err
    );
    let _done = cluster.wharf(&["deploy", "-y", &file, "--expect", "app=3"]).good();
}

#[test]
fn a_task_as_json_says_everything_the_contract_names() {
    let cluster = deployed();
    let tasks = cluster.live();
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        for key in [
            "id",
            "project",
            "service",
            "slot",
            "generation",
            "node",
            "state",
            "desired",
            "health",
            "image",
            "ports",
            "containers",
            "started_at",
            "exit",
        ] {
            assert!(task.get(key).is_some(), "{key} is missing: {task}");
        }
        assert!(task["image"].as_str().unwrap().starts_with("wharf-test:1@sha256:"), "{task}");
        let id = task["containers"][0]["container_id"].as_str().unwrap();
        let labels = cluster.docker.run(&["inspect", "-f", "{{json .Config.Labels}}", id]);
        let labels: Value = serde_json::from_str(&labels).unwrap();
        assert_eq!(labels["wharf.cluster"], cluster.id.as_str());
        assert_eq!(labels["wharf.node"], task["node"]);
        assert_eq!(labels["wharf.task"], task["id"]);
        assert_eq!(labels["wharf.generation"], task["generation"].to_string());
    }
}

#[test]
fn every_output_format_holds_the_same_tasks() {
    let cluster = deployed();
    let ids: Vec<String> =
        cluster.live().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    let names = cluster.wharf(&["ps", "-o", "name"]).good();
    assert_eq!(names.lines().collect::<Vec<_>>(), ids);
    assert_eq!(cluster.wharf(&["ps", "-q"]).good(), names);
    let lines = cluster.wharf(&["ps", "-o", "jsonl"]).good();
    let of_lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(of_lines.len(), 2);
    for format in ["table", "wide", "yaml"] {
        let text = cluster.wharf(&["ps", "-o", format]).good();
        assert!(ids.iter().all(|id| text.contains(id.as_str())), "{text}");
        assert!(
            text.lines().all(|line| line == line.trim_end()),
            "no line ends in blanks: {text:?}"
        );
    }
    let one = cluster.wharf(&["ps", "-q", "--filter", &format!("id={}", ids[0])]).good();
    assert_eq!(one.trim(), ids[0]);
}

#[test]
fn exec_passes_on_input_output_and_exit_code() {
    let cluster = deployed();
    let task = first_task(&cluster);
    let said = cluster.wharf(&["exec", &task, "sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (42, "out\n", "err\n"));
    let fed = "x".repeat(300_000);
    let said = cluster.wharf_fed(&["exec", "-i", "lab/app", "cat"], &fed);
    assert_eq!(said.good(), fed);
    let said = cluster.wharf(&[
        "exec",
        "-e",
        "MOOD=good",
        "-w",
        "/tmp",
        &task,
        "sh",
        "-c",
        "echo $MOOD; pwd",
    ]);
    assert_eq!(said.good(), "good\n/tmp\n");
    assert!(
        cluster.wharf(&["exec", &task, "no-such-program"]).bad(127).contains("no-such-program")
    );
    assert!(cluster.wharf(&["exec", &task, "/tmp"]).bad(126).contains("error:"));
    assert!(cluster.wharf(&["exec", "lab/nobody", "true"]).bad(1).contains("hint:"));
}

#[test]
fn an_interactive_exec_is_a_real_terminal() {
    let cluster = deployed();
    let mut command = cluster.wharf_command();
    command.args(["exec", "-it", "lab/app", "sh"]);
    let mut terminal = Terminal::start(&mut command, (101, 33));
    // An engine before 23.0 tells the size only after the program has begun.
    terminal.type_in("while [ \"$(stty size)\" != '33 101' ]; do sleep 0.1; done; echo si''zed\r");
    terminal.shows("sized");
    terminal.resize(90, 20);
    terminal.type_in("while [ \"$(stty size)\" != '20 90' ]; do sleep 0.1; done; echo resi''zed\r");
    terminal.shows("resized");
    terminal.type_in("tty; sleep 1000\r");
    terminal.shows("/dev/");
    // Ctrl-C is the program's in the container, not ours.
    terminal.type_in("\u{3}");
    terminal.type_in("echo still-here-$((40+2))\r");
    terminal.shows("still-here-42");
    terminal.type_in("exit 23\r");
    assert_eq!(terminal.ended().code(), Some(23));
}

#[test]
fn logs_are_shown_for_as_long_as_the_container_exists() {
    let cluster = deployed();
    let task = first_task(&cluster);
    let said = cluster.wharf(&["logs", &task]);
    assert!(said.out.contains("begin") && said.err.contains("complaint"), "{said:?}");
    let all = cluster.wharf(&["logs", "app"]).good();
    assert_eq!(all.matches("begin").count(), 2, "{all}");
    let none = cluster.wharf(&["logs", &task, "--tail", "0"]).good();
    assert_eq!(none, "");
    let log = cluster.scratch.path().join("follow.log");
    let mut command = cluster.wharf_command();
    command.args(["logs", "-f", "app"]);
    let following = Program::start(&mut command, &log);
    until("what was written before is shown", SOON, || {
        let text = following.log();
        if text.matches("begin").count() == 2 { Ok(()) } else { Err(text) }
    });
    let victim = cluster.running().remove(0);
    cluster.docker.run(&["kill", &victim.id]);
    until("the container that replaces one is followed too", SOON, || {
        let text = following.log();
        if text.matches("begin").count() == 3 { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_one_off_run_gives_output_and_exit_code_and_leaves_nothing() {
    let cluster = deployed();
    let said = cluster.wharf(&["run", "app", "sh", "-c", "echo $COLOUR; exit 7"]);
    assert_eq!((said.code, said.out.as_str()), (7, "green\n"), "{}", said.err);
    assert_eq!(cluster.wharf(&["run", "lab/app", "--", "true"]).good(), "");
    until("only the two tasks of the service are left", SOON, || {
        let running = cluster.live();
        if running.len() == 2 { Ok(()) } else { Err(format!("{running:?}")) }
    });
}

#[test]
fn services_are_scaled_restarted_rolled_back_and_removed() {
    let cluster = deployed();
    let _done = cluster.wharf(&["scale", "app=3"]).good();
    assert_eq!(cluster.live().len(), 3);
    let before: Vec<String> = cluster.running().into_iter().map(|one| one.id).collect();
    let _done = cluster.wharf(&["restart", "app"]).good();
    let after = cluster.running();
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|one| !before.contains(&one.id)));
    let _done = cluster.deploy(&APP.replace("green", "blue")).good();
    let _done = cluster.wharf(&["rollback", "app"]).good();
    for one in cluster.running() {
        let environment = cluster.docker.run(&["inspect", "-f", "{{json .Config.Env}}", &one.id]);
        assert!(environment.contains("COLOUR=green"), "{environment}");
    }
    let history = cluster.wharf(&["service", "history", "app", "-o", "json"]).json();
    assert_eq!(history.as_array().unwrap().len(), 5, "{history}");
    let refused = cluster.wharf(&["rm", "app"]).bad(64);
    assert!(refused.contains("-y"), "without a terminal it does not ask: {refused}");
    let _done = cluster.wharf(&["rm", "-y", "--project", "lab"]).good();
    assert_eq!(cluster.wharf(&["service", "ls", "-o", "json"]).json(), Value::Array(Vec::new()));
    until("containers and network are gone", SOON, || {
        let label = format!("label=wharf.cluster={}", cluster.id);
        let networks = cluster.docker.run(&["network", "ls", "-q", "--filter", &label]);
        let containers = cluster.containers();
        if networks.is_empty() && containers.is_empty() {
            Ok(())
        } else {
            Err(format!("{networks} {containers:?}"))
        }
    });
}

#[test]
fn usage_status_events_and_explanations_are_there() {
    let cluster = deployed();
    let top = until("every node says what it uses", SOON, || {
        let top = cluster.wharf(&["top", "-o", "json"]).json();
        let nodes = top.as_array().unwrap().clone();
        let told = |node: &&Value| node.to_string().contains("\"memory_capacity_bytes\":2");
        if nodes.iter().filter(told).count() == 2 { Ok(top) } else { Err(top.to_string()) }
    });
    assert!(top.to_string().contains("load_1m"), "{top}");
    until("every container says what it uses", SOON, || {
        let top = cluster.wharf(&["top", "--tasks", "-o", "json"]).json();
        let used = |one: &&Value| one["memory_bytes"].as_u64() > Some(0);
        if top.as_array().unwrap().iter().filter(used).count() == 2 {
            Ok(())
        } else {
            Err(top.to_string())
        }
    });
    let status = cluster.wharf(&["status", "-o", "json"]).json();
    assert_eq!(status["nodes"]["ready"], 2, "{status}");
    let events = cluster.wharf(&["events"]).good();
    assert!(events.contains("lab/app") && events.contains("runs"), "{events}");
    let why = cluster.wharf(&["explain", "app"]).good();
    assert!(why.contains("steady"), "{why}");
    let task = first_task(&cluster);
    assert!(cluster.wharf(&["explain", &task]).good().contains("running"));
    let inspected = cluster.wharf(&["task", "inspect", &task, "-o", "json"]).json();
    assert_eq!(inspected["id"], task.as_str());
    let version = cluster.wharf(&["version", "-o", "json"]).json();
    assert_eq!(version["wharf"], version["coordinator"]);
}

#[test]
fn a_task_that_fits_nowhere_is_explained() {
    let cluster = Cluster::start();
    let text = "
name: lab
services:
  big:
    image: wharf-test:1
    command: [sleep, '1000']
    deploy: {resources: {reservations: {memory: 900G}}}
  far:
    image: wharf-test:1
    command: [sleep, '1000']
    deploy: {placement: {constraints: ['node.labels.disk == ssd']}}
  near:
    image: wharf-test:1
    command: [sleep, '1000']
    deploy: {placement: {constraints: ['image.present(\"wharf-test:1\") and node.platform.os == linux and node.kernel.version > 1']}}
";
    let refused = cluster.deploy_with(text, &["--timeout", "2s"]).bad(4);
    assert!(refused.contains("wharf explain"), "{refused}");
    let why = cluster.wharf(&["explain", "big"]).good();
    assert!(why.contains("memory") && why.contains("n1") && why.contains("n2"), "{why}");
    assert!(why.contains("would help: with ") && why.contains("one more node ("), "{why}");
    let why = cluster.wharf(&["explain", "far"]).good();
    assert!(why.contains("node.labels.disk"), "{why}");
    let why = cluster.wharf(&["explain", "far", "-o", "json"]).json();
    assert_eq!(why["waiting"][0]["refusals"][0]["nodes"], 2, "{why}");
    // The tag was resolved, and the agents have said that they have it.
    until("the task is put where its image is", SOON, || {
        let tasks = cluster.live();
        let near = tasks.iter().find(|task| task["service"] == "near").cloned();
        match near {
            Some(task) if task["node"].is_string() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_cordoned_node_gets_nothing_new() {
    let cluster = deployed();
    let _done = cluster.wharf(&["cordon", "n1"]).good();
    let _done = cluster.wharf(&["scale", "app=6"]).good();
    let on = |node: &str| cluster.live().iter().filter(|task| task["node"] == node).count();
    assert_eq!((on("n1"), on("n2")), (1, 5));
    let _done = cluster.wharf(&["uncordon", "n1"]).good();
    let _done = cluster.wharf(&["scale", "app=8"]).good();
    assert_eq!(on("n1"), 3);
}

#[test]
fn names_of_a_project_reach_each_other_and_ports_are_published() {
    let cluster = Cluster::start();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "
name: lab
services:
  page:
    image: wharf-test:1
    command: [sh, -c, 'echo welcome > /tmp/index.html; exec httpd -f -p 80 -h /tmp']
    ports: ['{port}:80', '80']
    stop_grace_period: 1s
    healthcheck: {{test: [CMD, wget, -qO-, 'http://127.0.0.1/index.html'], interval: 1s, retries: 20}}
  caller:
    image: wharf-test:1
    command: [sleep, '100000']
    stop_grace_period: 1s
    depends_on: {{page: {{condition: service_healthy}}}}
"
    );
    let _done = cluster.deploy(&text).good();
    let page =
        cluster.wharf(&["exec", "lab/caller", "wget", "-qO-", "http://page/index.html"]).good();
    assert_eq!(page, "welcome\n");
    let tasks = cluster.live();
    let page = tasks.iter().find(|task| task["service"] == "page").unwrap();
    let ports: Vec<u64> = page["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["host"].as_u64().unwrap())
        .collect();
    assert_eq!(ports.len(), 2, "{page}");
    assert!(ports.contains(&u64::from(port)), "{page}");
    for port in ports {
        let mut command = Command::new("/bin/busybox");
        let said = system_tests::Said::by(
            command.args(["wget", "-qO-", &format!("http://127.0.0.1:{port}/index.html")]),
            "",
        );
        assert_eq!(said.good(), "welcome\n");
    }
}

#[test]
fn without_a_coordinator_every_command_says_so() {
    let mut cluster = Cluster::with(Options { nodes: 0, ..Options::default() });
    cluster.kill_coordinator();
    for command in [&["ps"][..], &["status"], &["service", "ls"], &["logs", "x"], &["scale", "x=1"]]
    {
        let said = cluster.wharf(command).bad(1);
        assert!(said.contains("does not answer") && said.contains("hint:"), "{said}");
    }
}
