//! The program's own door: arguments that it refuses, and how it says so.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wharf-agent")).args(arguments).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn folder(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("wharf-agent-{name}-{}", std::process::id()));
    path.display().to_string()
}

#[test]
fn a_coordinator_that_is_not_on_this_machine_is_refused_where_nothing_is_encrypted() {
    let state = folder("far");
    let far = ["--plaintext", "--coordinator", "10.0.0.1:7421", "--state-dir", &state];
    let said = complaint(&agent(&far));
    assert!(said.contains("10.0.0.1:7421") && said.contains("loopback"), "{said}");
    assert!(!Path::new(&state).exists(), "an agent that can not dial has kept something");
}

#[test]
fn an_address_that_is_none_is_named() {
    for wrong in ["nowhere", "host:", ":1", "ho st:1", "host:99999"] {
        let state = folder("malformed");
        let said = complaint(&agent(&["--coordinator", wrong, "--state-dir", &state]));
        assert!(said.contains(wrong), "{said}");
    }
}

#[test]
fn t13_a_token_that_is_none_is_refused_and_not_repeated() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf-agent"));
    command.env("WHARF_JOIN_TOKEN", "wharf1.hunter2").args(["--state-dir", &folder("token")]);
    let said = complaint(&command.output().unwrap());
    assert!(said.contains("not whole") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_token_is_no_argument_and_labels_are_its_to_give() {
    for wrong in [&["--join-token", "x"][..], &["--label", "a=b"], &["--pool", "web"]] {
        let said = complaint(&agent(wrong));
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn a_state_directory_that_can_not_be_made_is_named() {
    let said = complaint(&agent(&["--state-dir", "/proc/nowhere"]));
    assert!(said.contains("/proc/nowhere"), "{said}");
}

#[test]
fn a_kept_identity_that_is_no_node_id_is_not_guessed() {
    let state = folder("identity");
    fs::create_dir_all(&state).unwrap();
    fs::write(format!("{state}/node-id"), "no\0node").unwrap();
    let said = complaint(&agent(&["--state-dir", &state]));
    assert!(said.contains("node-id"), "{said}");
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn malformed_arguments_are_usage_errors() {
    for wrong in [&["--label", "novalue"][..], &["--node", "has spaces"], &["--unknown"]] {
        let said = complaint(&agent(wrong));
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn systemd_is_told_that_it_is_ready_and_that_it_still_turns() {
    let state = folder("notify");
    fs::create_dir_all(&state).unwrap();
    let socket = std::env::temp_dir().join(format!("wharf-agent-{}.sock", std::process::id()));
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_wharf-agent"))
        .args(["--coordinator", "127.0.0.1:1", "--state-dir"])
        .arg(&state)
        .env("NOTIFY_SOCKET", &socket)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    while !["READY=1", "WATCHDOG=1"].iter().all(|one| told.contains(&(*one).to_owned())) {
        let mut message = [0; 256];
        let length = listener.recv(&mut message).unwrap();
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        told.extend(text.lines().map(str::to_owned));
    }
    program.kill().unwrap();
    program.wait().unwrap();
    fs::remove_dir_all(state).unwrap();
    fs::remove_file(socket).unwrap();
}
