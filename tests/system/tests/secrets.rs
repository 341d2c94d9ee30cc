//! Secrets: containers find them, through restarts of everything, and nobody else does.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "secrets/references.rs"]
mod references;

use std::fs;
use std::path::{Path, PathBuf};

use proto::wire;
use proto::wire::dispatcher_client::DispatcherClient;
use serde_json::Value;
use system_tests::{Cluster, Options, SOON, until};
use tonic::Code;
use trust::transport::Dial;

/// In memory, and below it each cluster and node has a directory of its own.
const MEMORY: &str = "/dev/shm/wharf-secrets-test";

const APP: &str = "
name: lab
services:
  app:
    image: wharf-test:1
    command: [sleep, '2147483647']
    stop_grace_period: 0s
    user: '7:8'
    secrets:
      - key
      - {source: key, target: other, uid: '5', gid: '6', mode: 0440}
      - {source: key, target: /tmp/apart}
    deploy: {update_config: {monitor: 1s}}
secrets:
  key: {external: true, name: lab-key}
";

/// A cluster that writes down all that it can.
fn cluster(nodes: u32) -> Cluster {
    let trace = vec![("WHARF_LOG".to_owned(), "trace".to_owned())];
    Cluster::with(Options {
        nodes,
        agent_arguments: &["--prefer-local-images", "--secrets-dir", MEMORY],
        environment: trace.clone(),
        agent_environment: trace,
        ..Options::default()
    })
}

fn memory(cluster: &Cluster, node: &str) -> PathBuf {
    Path::new(MEMORY).join(&cluster.id).join(node)
}

fn task(cluster: &Cluster) -> String {
    cluster.live()[0]["id"].as_str().unwrap().to_owned()
}

fn node(cluster: &Cluster) -> String {
    cluster.live()[0]["node"].as_str().unwrap().to_owned()
}

fn in_container(cluster: &Cluster, user: &str, path: &str) -> String {
    let container = &cluster.running()[0].id;
    cluster.docker.try_run(&["exec", "--user", user, container, "cat", path]).out
}

/// Waits until a container of another run has this value where it looks for it.
fn runs_anew(cluster: &Cluster, before: &str, value: &str) {
    until("another container runs with its secret", SOON, || {
        let running = cluster.running();
        let [container] = &running[..] else { return Err(format!("{running:?}")) };
        let said = cluster.docker.try_run(&["exec", &container.id, "cat", "/run/secrets/key"]);
        if container.id != before && said.out == value { Ok(()) } else { Err(said.out + &said.err) }
    });
}

fn kill_container(cluster: &Cluster) -> String {
    let container = cluster.running()[0].id.clone();
    cluster.docker.run(&["kill", &container]);
    container
}

/// The files below a folder that have this text in them.
fn holders(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(holders(&path, text));
        } else if fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

fn canary() -> String {
    format!("canary-{}-{:?}", std::process::id(), std::time::Instant::now())
        .replace([' ', '{', '}', ':'], "")
}

#[test]
fn t13_a_secret_is_where_its_program_finds_it_through_restarts_of_everything_and_nowhere_else() {
    let mut cluster = cluster(1);
    let value = canary();
    let refused = cluster.deploy(APP).bad(1);
    assert!(refused.contains("lab/app needs secret lab-key, which is not there"), "{refused}");
    assert!(refused.contains("wharf secret set"), "{refused}");
    let set = cluster.wharf_fed(&["secret", "set", "lab-key"], &value).good();
    assert_eq!(set.trim(), "lab-key is at version 1");
    let again = cluster.wharf_fed(&["secret", "set", "lab-key"], &value).good();
    assert!(again.contains("stays at version 1"), "{again}");
    let _done = cluster.deploy(APP).good();

    let container = cluster.running()[0].id.clone();
    for (user, path) in
        [("7:8", "/run/secrets/key"), ("5:9", "/run/secrets/other"), ("7:8", "/tmp/apart")]
    {
        assert_eq!(in_container(&cluster, user, path), value, "{path}");
    }
    assert_eq!(in_container(&cluster, "9:9", "/run/secrets/other"), "", "nobody else's");
    let listed = cluster.docker.run(&["exec", &container, "ls", "-ln", "/run/secrets"]);
    let has = |start: &str, ids: [&str; 2], end: &str| {
        listed.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            line.starts_with(start) && words.get(2..4) == Some(&ids[..]) && line.ends_with(end)
        })
    };
    assert!(has("-r--------", ["7", "8"], "key"), "{listed}");
    assert!(has("-r--r-----", ["5", "6"], "other"), "{listed}");
    let written =
        cluster.docker.try_run(&["exec", "--user", "0", &container, "touch", "/run/secrets/x"]);
    assert!(written.err.contains("Read-only"), "{}{}", written.out, written.err);

    // The agent and the coordinator may go, and the container too.
    let killed = kill_container(&cluster);
    runs_anew(&cluster, &killed, &value);
    cluster.kill_coordinator();
    let killed = kill_container(&cluster);
    runs_anew(&cluster, &killed, &value);
    cluster.kill_agent("n1");
    let killed = kill_container(&cluster);
    cluster.start_agent("n1");
    runs_anew(&cluster, &killed, &value);

    // As after a start of the machine: nothing is in memory any more.
    let held = memory(&cluster, "n1").join(format!("lab.app.1.{}", number(&cluster, &killed)));
    assert!(held.exists(), "{}", held.display());
    cluster.kill_agent("n1");
    let killed = kill_container(&cluster);
    fs::remove_dir_all(memory(&cluster, "n1")).unwrap();
    cluster.start_agent("n1");
    let log = cluster.scratch.path().join("n1.log");
    until("the agent says what the task waits for", SOON, || {
        let said = fs::read_to_string(&log).unwrap();
        if said.contains("waits for its secrets") { Ok(()) } else { Err("not yet".to_owned()) }
    });
    assert!(cluster.running().is_empty(), "a container runs without its secret");
    cluster.start_coordinator();
    runs_anew(&cluster, &killed, &value);

    is_nowhere_else(&cluster, ("lab-key", "lab/app"), &value);
    let _gone = cluster.wharf(&["secret", "rm", "lab-key"]).bad(1);
    let _gone = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    until("nothing is left in memory", SOON, || {
        let left = holders(&memory(&cluster, "n1"), &value);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    until("the secret can be removed", SOON, || {
        let said = cluster.wharf(&["secret", "rm", "lab-key"]);
        if said.code == 0 { Ok(()) } else { Err(said.err) }
    });
    fs::remove_dir_all(Path::new(MEMORY).join(&cluster.id)).unwrap();
}

/// The number of the task that a container is of.
fn number(cluster: &Cluster, container: &str) -> String {
    let found = cluster.containers().into_iter().find(|one| one.id == container);
    found.unwrap().task.rsplit('.').next().unwrap().to_owned()
}

/// Looks through all that the programs have written, and all that they and the engine say.
fn is_nowhere_else(cluster: &Cluster, (secret, service): (&str, &str), value: &str) {
    let found = holders(&memory(cluster, "n1"), value);
    assert!(!found.is_empty(), "this test finds nothing, whatever there is");
    let found = holders(cluster.scratch.path(), value);
    assert!(found.is_empty(), "{found:?}");
    for file in ["coordinator.log", "n1.log"] {
        let log = fs::read_to_string(cluster.scratch.path().join(file)).unwrap();
        assert!(log.contains("TRACE"), "{file} has not all that can be said");
    }
    let mut said = String::new();
    for container in cluster.containers() {
        said += &cluster.docker.run(&["inspect", &container.id]);
    }
    for arguments in [
        &["events"][..],
        &["audit", "-o", "json"],
        &["secret", "inspect", secret],
        &["secret", "ls", "-o", "json"],
        &["service", "inspect", service, "-o", "json"],
        &["ps", "-a", "-o", "json"],
        &["explain", service],
    ] {
        said += &cluster.wharf(arguments).good();
    }
    assert!(said.contains(secret), "{said}");
    assert!(!said.contains(value), "it is shown to operators, or by the engine");
}

#[test]
fn t4_a_node_is_given_nothing_of_what_runs_elsewhere_and_its_asking_is_on_the_record() {
    let cluster = cluster(2);
    let _set = cluster.wharf_fed(&["secret", "set", "lab-key"], "x").good();
    let _done = cluster.deploy(APP).good();
    let (task, home) = (task(&cluster), node(&cluster));
    let other = if home == "n1" { "n2" } else { "n1" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |shown: &str, said: &str, task: &str| {
        let bundle = trust::Bundle::load(&cluster.state_dir(shown).join("identity.pem"));
        let client = trust::tls::Client::mutual(&bundle.unwrap().unwrap()).unwrap();
        let dial = Dial::Tls { address: cluster.address.clone(), client };
        let wanted = wire::SecretsWanted { node: said.to_owned(), task: task.to_owned() };
        runtime.block_on(async {
            let mut dispatcher = DispatcherClient::new(dial.channel().unwrap());
            let given = dispatcher.secrets(wanted).await;
            given.map(|given| given.into_inner().secrets.len()).map_err(|status| status.code())
        })
    };
    assert_eq!(ask(&home, &home, &task), Ok(1));
    assert_eq!(ask(other, other, &task), Err(Code::PermissionDenied), "as itself");
    assert_eq!(ask(other, &home, &task), Err(Code::PermissionDenied), "as somebody else");
    assert_eq!(ask(other, other, "lab.app.1.1"), Err(Code::PermissionDenied), "of no task");
    until("it is on the record", SOON, || {
        let record = cluster.wharf(&["audit", "-o", "json"]).json();
        let denied = |act: &&Value| act.to_string().contains("its secrets are not for it");
        let denied = record.as_array().unwrap().iter().filter(denied).count();
        if denied > 0 { Ok(()) } else { Err(record.to_string()) }
    });
    let _gone = cluster.wharf(&["rm", "-y", "lab/app"]).good();
    fs::remove_dir_all(Path::new(MEMORY).join(&cluster.id)).unwrap();
}

/// Says what it has whenever it is told to look.
const TOLD: &str = "
name: lab
services:
  told:
    image: wharf-test:1
    command: [sh, -c, \"trap 'echo has $$(cat /run/secrets/key)' HUP; while true; do sleep 0.2; done\"]
    stop_grace_period: 0s
    secrets: [key]
    x-wharf: {secrets_rotation: signal HUP}
    deploy: {update_config: {monitor: 1s}}
  anew:
    image: wharf-test:1
    command: [sh, -c, 'echo has $$KEY; sleep 2147483647']
    stop_grace_period: 0s
    x-wharf: {secret_env: {KEY: key}, secrets_rotation: restart}
    deploy: {update_config: {monitor: 1s}}
secrets:
  key: {external: true}
";

#[test]
fn a_new_value_is_exchanged_under_a_program_that_is_told_or_has_tasks_restarted() {
    let cluster = cluster(1);
    let _set = cluster.wharf_fed(&["secret", "set", "key"], "one").good();
    let _done = cluster.deploy(TOLD).good();
    let of = |name: &str| {
        let begins = format!("lab.{name}.");
        cluster.running().into_iter().filter(move |one| one.task.starts_with(&begins))
    };
    let (told, anew) = (of("told").next().unwrap().id, of("anew").next().unwrap().id);
    let set = cluster.wharf_fed(&["secret", "set", "key"], "two").good();
    assert!(set.contains("lab/anew is restarted with it"), "{set}");
    assert!(set.contains("lab/told gets it and is told by a signal"), "{set}");
    let says = |id: &str| cluster.docker.try_run(&["logs", id]).out;
    until("the program was told", SOON, || {
        let said = says(&told);
        if said.contains("has two") { Ok(()) } else { Err(said) }
    });
    assert_eq!(of("told").next().unwrap().id, told, "it runs on");
    until("the other was exchanged", SOON, || {
        let running: Vec<_> = of("anew").collect();
        let [one] = &running[..] else { return Err(format!("{running:?}")) };
        let said = says(&one.id);
        if one.id != anew && said.contains("has two") { Ok(()) } else { Err(said) }
    });
    until("nobody has the first value, and it is forgotten", SOON, || {
        let listed = cluster.wharf(&["secret", "inspect", "key", "-o", "json"]).json();
        if listed["versions"].as_array().unwrap().len() == 1 {
            Ok(())
        } else {
            Err(listed.to_string())
        }
    });
    let _gone = cluster.wharf(&["rm", "-y", "lab/told", "lab/anew"]).good();
    fs::remove_dir_all(Path::new(MEMORY).join(&cluster.id)).unwrap();
}
