//! The record of who did what, through real programs: nothing that was acknowledged is missing, whenever the coordinator is
//! killed.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use system_tests::docker::IMAGE;
use system_tests::{Cluster, Options};

fn deploy(cluster: &Cluster) {
    let _done = cluster.deploy_sleeper("{replicas: 1, update_config: {monitor: 0s}}").good();
}

/// Starts operators who ask for different numbers of replicas at once.
fn ask(cluster: &Cluster, numbers: std::ops::Range<u32>) -> Vec<(u32, Child)> {
    let start = |number: u32| {
        let mut command = cluster.wharf_command();
        command.args(["scale", &format!("lab/app={number}"), "--detach"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        (number, child)
    };
    numbers.map(start).collect()
}

#[test]
fn what_was_acknowledged_is_on_the_record_however_often_the_coordinator_is_killed() {
    let mut cluster = Cluster::with(Options { nodes: 1, ..Options::default() });
    deploy(&cluster);
    // What is wanted is all that this is about.
    cluster.kill_agent("n1");
    let (mut acknowledged, mut lost) = (Vec::new(), 0);
    for round in 0..8_u32 {
        let mut asking = ask(&cluster, round * 10 + 1_000..round * 10 + 1_010);
        // Killed when some have their answer and others have not: each round one more.
        for (number, child) in asking.iter_mut().take(round as usize + 1) {
            if child.wait().unwrap().success() {
                acknowledged.push(*number);
            }
        }
        cluster.kill_coordinator();
        for (number, mut child) in asking.into_iter().skip(round as usize + 1) {
            match child.wait().unwrap().success() {
                true => acknowledged.push(number),
                false => lost += 1,
            }
        }
        cluster.start_coordinator();
    }
    let acts = cluster.wharf(&["audit", "--what", "scale", "-o", "json"]).json();
    let acts = acts.as_array().unwrap();
    for number in &acknowledged {
        let note = format!("{number} replicas");
        let found = acts.iter().filter(|act| act["note"] == note.as_str()).count();
        assert_eq!(found, 1, "{note} of {acts:#?}");
    }
    assert!(
        acknowledged.len() >= 8,
        "only {} were acknowledged, {lost} were not",
        acknowledged.len()
    );
    let said = cluster.wharf(&["audit", "--verify"]).good();
    assert!(said.contains("is whole"), "{said}");
}

#[test]
fn an_operator_reads_and_verifies_the_record_and_commands_are_on_it_without_their_arguments() {
    let folder = std::env::temp_dir().join(format!("wharf-audit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("audit.jsonl").display().to_string();
    let argument = Box::leak(format!("--audit-file={file}").into_boxed_str());
    let arguments: &'static [&'static str] = Box::leak(Box::new([&*argument]));
    let mut cluster =
        Cluster::with(Options { nodes: 1, coordinator_arguments: arguments, ..Options::default() });
    deploy(&cluster);
    let why = ["--why", "ticket 7", "exec", "lab/app", "sh", "-c", "true # c4n4ry"];
    let _ran = cluster.wharf(&why).good();
    let acts = cluster.wharf(&["audit", "-o", "jsonl"]).good();
    let acts: Vec<serde_json::Value> =
        acts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exec = acts.iter().find(|act| act["what"] == "exec").unwrap();
    assert_eq!((&exec["note"], &exec["why"]), (&"sh".into(), &"ticket 7".into()));
    assert_eq!(exec["objects"][0]["name"], "lab/app");
    assert_eq!(exec["who"], "tester (admin)");
    let table = cluster.wharf(&["audit", "--tail", "3"]).good();
    assert!(table.contains("VERDICT") && table.lines().count() == 4, "{table}");
    // A job's calls as well.
    let job = format!(
        "name: lab\nservices:\n  once:\n    image: {IMAGE}\n    command: ['true']\n    deploy: {{mode: replicated-job}}\n"
    );
    let _done = cluster.deploy(&job).good();
    let _done = cluster.wharf(&["job", "run", "lab/once"]).good();
    let jobs = cluster.wharf(&["audit", "--what", "job", "-o", "json"]).json();
    assert_eq!(jobs[0]["note"], "run", "{jobs}");
    cluster.kill_coordinator();
    cluster.start_coordinator();
    system_tests::until("the file has all of it", Duration::from_secs(20), || {
        let count = fs::read_to_string(&file).unwrap_or_default().lines().count();
        if count > acts.len() { Ok(()) } else { Err(format!("{count} of {}", acts.len())) }
    });
    let said = cluster.wharf(&["audit", "--verify", "--file", &file]).good();
    assert!(said.contains("is whole"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("c4n4ry"), "arguments are nobody's");
    fs::write(&file, text.replacen("\"tester (admin)\"", "\"nobody\"", 1)).unwrap();
    let said = cluster.wharf(&["audit", "--verify", "--file", &file]).bad(1);
    assert!(said.contains("says something else than its record"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}
