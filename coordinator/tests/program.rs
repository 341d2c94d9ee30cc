//! The program's own door: arguments and stores that it refuses, and how it says so.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn coordinator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wharf-coordinator")).args(arguments).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wharf-coordinator-{name}-{}", std::process::id()))
}

#[test]
fn an_address_that_others_reach_is_refused_where_nothing_is_encrypted() {
    let data = folder("far").display().to_string();
    let plain = ["--plaintext", "--listen", "0.0.0.0:0", "--data-dir", &data];
    let said = complaint(&coordinator(&plain));
    assert!(said.contains("0.0.0.0:0") && said.contains("loopback"), "{said}");
}

#[test]
fn without_a_secret_to_seal_the_authority_with_it_does_not_start() {
    let data = folder("unsealed");
    let (at, file) = (data.display().to_string(), data.join("absent").display().to_string());
    let said = complaint(&coordinator(&["--listen", "127.0.0.1:0", "--data-dir", &at]));
    assert!(said.contains("--ca-passphrase-file") && said.contains("hint:"), "{said}");
    let wrong = ["--ca-passphrase-file", &file, "--listen", "127.0.0.1:0", "--data-dir", &at];
    let said = complaint(&coordinator(&wrong));
    assert!(said.contains(&file), "{said}");
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn hosts_and_lives_that_make_no_sense_are_named() {
    let data = folder("names").display().to_string();
    let start =
        ["--ca-passphrase-file", "/dev/null", "--listen", "127.0.0.1:0", "--data-dir", &data];
    let said = complaint(&coordinator(&[&start[..], &["--name", "no host"]].concat()));
    assert!(said.contains("no host"), "{said}");
    let life = ["--node-certificate-seconds", "1"];
    let said = complaint(&coordinator(&[&start[..], &life].concat()));
    assert!(said.contains("holds for"), "{said}");
}

#[test]
fn a_data_directory_that_can_not_be_made_is_named() {
    let said = complaint(&coordinator(&[
        "--plaintext",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "/proc/nowhere",
    ]));
    assert!(said.contains("/proc/nowhere"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder("taken");
    let said = complaint(&coordinator(&[
        "--plaintext",
        "--listen",
        &address,
        "--data-dir",
        &data.display().to_string(),
    ]));
    assert!(said.contains(&address), "{said}");
    assert!(!data.exists(), "a coordinator that can not listen has made a store");
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let data = folder("later");
    fs::create_dir_all(&data).unwrap();
    let path = data.join("wharf.db");
    let later = rusqlite::Connection::open(&path).unwrap();
    later.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 4711").unwrap();
    drop(later);
    let before = fs::read(&path).unwrap();
    let said = complaint(&coordinator(&[
        "--plaintext",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data.display().to_string(),
    ]));
    assert!(said.contains("later version") && said.contains("4711"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn malformed_arguments_are_usage_errors() {
    for wrong in [&["--listen", "nowhere"][..], &["--unknown"]] {
        let said = complaint(&coordinator(wrong));
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn systemd_is_told_that_it_is_ready_and_that_it_still_turns() {
    let data = folder("notify");
    fs::create_dir_all(&data).unwrap();
    let socket =
        std::env::temp_dir().join(format!("wharf-coordinator-{}.sock", std::process::id()));
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_wharf-coordinator"))
        .args(["--plaintext", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
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
    fs::remove_dir_all(data).unwrap();
    fs::remove_file(socket).unwrap();
}
