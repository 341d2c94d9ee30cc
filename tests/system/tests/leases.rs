//! A container takes a lease, and what is done with its task waits for it.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::Value;
use system_tests::{Cluster, Docker, Options, SOON, Said, Scratch, until};

/// Takes a lease for a while as soon as it runs.
const APP: &str = "
name: lab
services:
  app:
    image: wharf-lease-test:1
    command: [work, FOR]
    stop_grace_period: 0s
    x-wharf: {lease: 5m}
    deploy: {update_config: {monitor: 1s}}
";

/// An image of the program of the example, which has no libraries.
fn make_image(docker: &Docker) {
    let scratch = Scratch::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello/hello.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut compile = Command::new(rustc);
    compile.args(["--edition", "2024", "-C", "target-feature=+crt-static", "-o"]);
    let compiled = Said::by(compile.arg(scratch.path().join("hello")).arg(source), "");
    assert_eq!(compiled.code, 0, "{}", compiled.err);
    let tar = scratch.path().join("image.tar");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(scratch.path()).arg("-cf").arg(&tar).arg("hello");
    let packed = Said::by(&mut pack, "");
    assert_eq!(packed.code, 0, "{}", packed.err);
    let tar = tar.display().to_string();
    docker.run(&["import", "-c", "ENTRYPOINT [\"/hello\"]", &tar, "wharf-lease-test:1"]);
}

fn note(cluster: &Cluster, task: &str) -> String {
    let tasks = cluster.tasks();
    let found = tasks.iter().find(|one| one["id"] == task);
    found.map(|task| task["note"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn says(cluster: &Cluster, task: &str, text: &str) {
    until(text, SOON, || {
        let note = note(cluster, task);
        let logs = || cluster.docker.try_run(&["logs", &cluster.containers()[0].id]).out;
        if note.contains(text) { Ok(()) } else { Err(format!("{task}: {note}; {}", logs())) }
    });
}

/// Asks over a socket as a program in the container would.
fn ask(socket: &Path, request: &str) -> Value {
    // A path to a socket has at most 107 bytes, and that of a test may have more.
    let folder = fs::File::open(socket.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}/lease.sock", std::os::fd::AsRawFd::as_raw_fd(&folder));
    let mut connection = UnixStream::connect(short).unwrap();
    write!(connection, "{request} HTTP/1.1\r\nHost: wharf\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.lines().last().unwrap()).unwrap()
}

#[test]
fn a_rollout_waits_for_a_lease_through_restarts_of_everything() {
    let mut cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    make_image(&cluster.docker);
    let _done = cluster.deploy(&APP.replace("FOR", "250s")).good();
    let old = cluster.live()[0]["id"].as_str().unwrap().to_owned();
    says(&cluster, &old, "holds a lease until 20");
    let explained = cluster.wharf(&["explain", "lab/app"]).good();
    assert!(explained.contains("holds a lease until 20"), "{explained}");
    let container = cluster.running()[0].id.clone();

    let _done = cluster.deploy_with(&APP.replace("FOR", "1s"), &["--detach"]).good();
    says(&cluster, &old, "is to stop: waits: it holds a lease until 20");
    assert_eq!(cluster.running().len(), 2, "the next one is there, and nothing was broken off");
    let events = cluster.wharf(&["events"]).good();
    assert!(events.contains("and is waited for until"), "{events}");

    cluster.kill_agent("n1");
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.start_agent("n1");
    says(&cluster, &old, "is to stop: waits: it holds a lease until 20");
    // The second try to listen on its port ends the program; what it was told comes first.
    let said = cluster.docker.try_run(&["exec", &container, "/hello", "work", "200s"]);
    assert!(
        said.out.contains("\"stopping\":true") && said.out.contains("\"held_until\":\"20"),
        "{}{}",
        said.out,
        said.err
    );
    let said = cluster.docker.try_run(&["exec", &container, "/hello", "work", "301s"]);
    assert!(
        said.out.contains("a lease of this task is for 300 s at the most"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(cluster.running().iter().any(|one| one.id == container));

    let socket = cluster.state_dir("n1").join("leases").join(&old).join("lease.sock");
    assert_eq!(ask(&socket, "DELETE /lease")["held_until"], Value::Null);
    until("the old container has ended", SOON, || {
        let running = cluster.running();
        if running.iter().all(|one| one.id != container) {
            Ok(())
        } else {
            Err("it runs".to_owned())
        }
    });
    until("its socket is gone", SOON, || {
        if socket.exists() { Err(socket.display().to_string()) } else { Ok(()) }
    });
}

#[test]
fn a_drain_waits_for_a_lease_up_to_its_deadline_and_no_longer() {
    let cluster = Cluster::start();
    make_image(&cluster.docker);
    let _done = cluster.deploy(&APP.replace("FOR", "250s")).good();
    let task = &cluster.live()[0];
    let (old, node) = (task["id"].as_str().unwrap(), task["node"].as_str().unwrap());
    says(&cluster, old, "holds a lease until 20");
    let said = cluster.wharf(&["drain", node, "--deadline", "15s", "--timeout", "1m"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("holds a lease until"), "{}{}", said.out, said.err);
    let events = cluster.wharf(&["events"]).good();
    assert!(events.contains("is stopped whatever it holds a lease for"), "{events}");
    assert_eq!(cluster.running().len(), 1, "the next one serves");
}
