//! The Debian packages: sound, and installed, upgraded, removed and purged on a machine with systemd and an engine.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::program::{built, installed};
use system_tests::{Container, Machine, Packages, SOON, Said, until};

/// Not the port that everything has when nothing is configured.
const ADDRESS: &str = "127.0.0.1:7500";

const NEWER: &str = "99.0-1";

const COORDINATOR: &str = "wharf-coordinator.service";
const AGENT: &str = "wharf-agent.service";

#[test]
fn lintian_has_nothing_to_say() {
    let packages = Packages::new();
    assert_eq!(packages.files().len(), 3);
    let mut lintian = Command::new(installed("/usr/bin/lintian", "lintian"));
    lintian.args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    // It leaves files of its own behind.
    lintian.env("TMPDIR", packages.folder());
    let said = Said::by(lintian.args(packages.files()), "");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

/// The parts of a package of Amazon Linux have no first line that says by whom they are read.
#[test]
fn shellcheck_has_nothing_to_say_of_any_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let find = "find packaging -type f \\( -name '*.sh' -o -path 'packaging/rpm/wharf-*' \\) -print; \
                grep -rlE '^#!.*(/sh|bash)' packaging";
    let found = Said::by(Command::new("sh").args(["-c", find]).current_dir(&root), "").good();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    found.dedup();
    assert!(found.len() > 14, "{found:?}");
    for script in found {
        let mut check = Command::new(installed("/usr/bin/shellcheck", "shellcheck"));
        check.arg("--external-sources").current_dir(&root);
        if script.starts_with("packaging/rpm/wharf-") {
            check.arg("--shell=sh");
        }
        let said = Said::by(check.arg(script), "");
        assert_eq!(said.code, 0, "{script}: {}{}", said.out, said.err);
    }
}

#[test]
fn the_manual_page_of_each_service_names_all_its_options() {
    for name in ["wharf-agent", "wharf-coordinator"] {
        let page = format!("../../packaging/deb/{name}/{name}.8");
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let page = page.replace('\\', "");
        let help = Said::by(Command::new(built(name)).arg("--help"), "").good();
        let words = help.split(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter));
        let options = words.filter(|word| word.starts_with("--") || word.starts_with("WHARF_"));
        let missing: Vec<&str> = options.filter(|option| !page.contains(option)).collect();
        assert!(missing.is_empty(), "{name}.8 does not have {missing:?}");
    }
}

#[test]
fn a_node_goes_through_its_life_and_its_container_does_not_notice() {
    let packages = Packages::new();
    let newer = packages.pack(&["--version", NEWER, "wharf-agent"]);
    let mut node = Node { machine: Machine::debian(), container: None };
    node.machine.copy(packages.folder(), "/root/packages");
    node.machine.done(&format!("mv /root/packages/{} /root/newer.deb", name_of(&newer[0])));

    node.a_service_that_nobody_enabled_is_not_started();
    node.the_coordinator_starts_as_it_is_configured();
    node.the_agent_starts_and_the_node_is_ready();
    node.what_is_deployed_runs();
    node.an_agent_that_hangs_is_restarted();
    node.an_upgrade_restarts_the_agent_alone();
    node.what_was_removed_goes_on_when_it_is_installed_again();
    node.purging_takes_away_the_state();
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A machine that is a whole cluster.
struct Node {
    machine: Machine,
    /// The one that was deployed.
    container: Option<Container>,
}

impl Node {
    fn a_service_that_nobody_enabled_is_not_started(&self) {
        let machine = &self.machine;
        let said = machine.done("dpkg --install /root/packages/*.deb");
        for unit in [COORDINATOR, AGENT] {
            let name = unit.trim_end_matches(".service");
            assert!(said.contains(&format!("systemctl enable --now {name}")), "{said}");
            assert_eq!(machine.run(&format!("systemctl is-active {unit}")).out.trim(), "inactive");
            assert_eq!(machine.run(&format!("systemctl is-enabled {unit}")).out.trim(), "disabled");
        }
        assert_eq!(machine.done("ls /var/lib/wharf 2>&1 || true"), NO_STATE);
    }

    fn the_coordinator_starts_as_it_is_configured(&self) {
        let machine = &self.machine;
        let configured = format!("WHARF_LISTEN={ADDRESS}");
        let edit = format!("sed -i 's/^#WHARF_LISTEN=.*/{configured}/' /etc/wharf/coordinator.env");
        machine.done(&edit);
        machine.done(&format!("grep -qx {configured} /etc/wharf/coordinator.env"));
        // Comes back only when the coordinator has told systemd that it is ready.
        let log = format!("journalctl --no-pager --lines 40 --unit {COORDINATOR}");
        machine.done(&format!("systemctl enable --now {COORDINATOR} || {{ {log}; false; }}"));
        machine.unit_is(COORDINATOR, "active");
        // Root of the machine makes the first operator, who is whoever this test is.
        let socket = "unix:/var/lib/wharf/coordinator/admin.sock";
        let file = "/root/operator.toml";
        let add = format!("wharf --addr {socket} operator add kim --role admin --out {file}");
        machine.done(&format!("{add}; wharf context import {file}"));
        let _answered = self.wharf("status");
        assert_eq!(machine.done("stat --format '%U %a' /etc/wharf/authority.key"), "root 600");
        let owner = machine.done("stat --format '%U %a' /var/lib/wharf/coordinator");
        assert_eq!(owner, "wharf-coordinator 700");
        self.watchdog_is_fed(COORDINATOR);
    }

    fn the_agent_starts_and_the_node_is_ready(&self) {
        let machine = &self.machine;
        let configured = format!("WHARF_ADDR={ADDRESS}\\nWHARF_NODE=one");
        machine.done(&format!("sed -i 's/^#WHARF_ADDR=.*/{configured}/' /etc/wharf/agent.env"));
        machine.done(&format!("systemctl enable --now {AGENT}"));
        // It waits for its token, and says so.
        machine.unit_is(AGENT, "active");
        until("the agent says what it waits for", SOON, || {
            let log = machine.log(AGENT);
            if log.contains("there is no join token in") { Ok(()) } else { Err(log) }
        });
        let kept = "/var/lib/wharf/agent/join-token";
        let token = format!("WHARF_ADDR={ADDRESS} wharf token create");
        machine.done(&format!("{token} | install -o wharf-agent -m 600 /dev/stdin {kept}"));
        until("the node is ready", SOON, || {
            let nodes = self.json("node ls");
            let is_ready = nodes[0]["state"] == "ready" && nodes[0]["id"] == "one";
            if is_ready { Ok(()) } else { Err(format!("{nodes} {}", machine.log(AGENT))) }
        });
        let left =
            "stat --format '%U %a %n' /var/lib/wharf/agent/*.pem /var/lib/wharf/agent/join-*";
        let kept = machine.done(&format!("{left} 2>&1 || true"));
        assert!(kept.starts_with("wharf-agent 600 /var/lib/wharf/agent/identity.pem"), "{kept}");
        assert!(kept.contains("cannot stat"), "the token is used and gone: {kept}");
        let user = machine.done(&format!("stat --format %U /proc/{}", self.agent()));
        assert_eq!(user, "wharf-agent");
        self.watchdog_is_fed(AGENT);
    }

    fn what_is_deployed_runs(&mut self) {
        let docker = self.machine.docker();
        docker.need_image();
        let file = format!(
            "name: shop\nservices:\n  web:\n    image: {IMAGE}\n    command: [sleep, '2147483647']\n"
        );
        self.machine.write("/root/compose.yaml", &file);
        let _deployed = self.wharf("deploy --yes /root/compose.yaml");
        let containers = docker.containers("wharf.task");
        assert_eq!(containers.len(), 1, "{containers:?}");
        self.container = containers.into_iter().next();
        self.container_is_as_it_was();
    }

    fn an_agent_that_hangs_is_restarted(&self) {
        let machine = &self.machine;
        // As in the unit, but not as patient.
        let folder = format!("/run/systemd/system/{AGENT}.d");
        machine.done(&format!("mkdir {folder}"));
        let hasty = "[Service]\nWatchdogSec=8\nTimeoutAbortSec=1\n";
        machine.write(&format!("{folder}/hasty.conf"), hasty);
        machine.done(&format!("systemctl daemon-reload; systemctl restart {AGENT}"));
        let agent = self.agent();
        machine.done(&format!("kill -STOP {agent}"));
        until("systemd has replaced the agent", SOON, || {
            let now = self.agent();
            if now != "0" && now != agent { Ok(()) } else { Err(machine.log(AGENT)) }
        });
        machine.unit_is(AGENT, "active");
        assert!(machine.property(AGENT, "NRestarts") != "0");
        assert!(machine.log(AGENT).contains("Watchdog timeout"), "{}", machine.log(AGENT));
        machine.done(&format!("rm -r {folder}; systemctl daemon-reload"));
        self.container_is_as_it_was();
    }

    fn an_upgrade_restarts_the_agent_alone(&self) {
        let machine = &self.machine;
        let (agent, coordinator) = (self.agent(), machine.property(COORDINATOR, "MainPID"));
        machine.done("dpkg --install /root/newer.deb");
        machine.unit_is(AGENT, "active");
        assert_ne!(self.agent(), agent);
        assert_eq!(machine.property(COORDINATOR, "MainPID"), coordinator);
        assert_eq!(machine.done("dpkg-query --show --showformat '${Version}' wharf-agent"), NEWER);
        self.agent_is_in_session();
        self.container_is_as_it_was();
    }

    fn what_was_removed_goes_on_when_it_is_installed_again(&self) {
        let machine = &self.machine;
        machine.done("dpkg --remove wharf-agent");
        machine.unit_is(AGENT, "inactive");
        self.container_is_as_it_was();
        machine.done("test -d /var/lib/wharf/agent && test -e /etc/wharf/agent.env");
        machine.done("dpkg --install /root/newer.deb");
        machine.unit_is(AGENT, "active");
        self.agent_is_in_session();
        self.container_is_as_it_was();
    }

    fn purging_takes_away_the_state(&self) {
        let machine = &self.machine;
        machine.done("dpkg --purge wharf-agent");
        assert_eq!(machine.done("ls /var/lib/wharf /etc/wharf"), LEFT);
        self.container_is_as_it_was();
        machine.done("dpkg --purge wharf-coordinator wharf");
        assert_eq!(machine.done("ls /var/lib/wharf 2>&1 || true"), NO_STATE);
        let links =
            machine.done("find /etc /usr /var/lib /run -name '*wharf*' -not -path '*/docker*'");
        assert_eq!(links, "");
        self.container_is_as_it_was();
    }

    /// The agent is there again and knows its container, which needs its word to the coordinator.
    fn agent_is_in_session(&self) {
        until("the task runs in the eyes of the coordinator", SOON, || {
            let (nodes, tasks) = (self.json("node ls"), self.json("ps"));
            let is_so = nodes[0]["state"] == "ready" && tasks[0]["state"] == "running";
            if is_so { Ok(()) } else { Err(format!("{nodes} {tasks}")) }
        });
    }

    fn container_is_as_it_was(&self) {
        let was = self.container.as_ref().unwrap();
        let now = self.machine.docker().container(&was.id);
        assert_eq!(now.as_ref(), Some(was));
        assert_eq!(was.status, "running");
    }

    fn watchdog_is_fed(&self, unit: &str) {
        let fed = || self.machine.property(unit, "WatchdogTimestampMonotonic");
        let began = fed();
        until("the watchdog is fed", SOON, || {
            if fed() == began { Err(began.clone()) } else { Ok(()) }
        });
    }

    fn agent(&self) -> String {
        self.machine.property(AGENT, "MainPID")
    }

    fn wharf(&self, arguments: &str) -> String {
        self.machine.done(&format!("WHARF_ADDR={ADDRESS} wharf {arguments}"))
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.wharf(&format!("{arguments} -o json"))).unwrap()
    }
}

/// What `ls` says when nothing was ever kept, or all of it is gone.
const NO_STATE: &str = "ls: cannot access '/var/lib/wharf': No such file or directory";

/// What is the coordinator's stays when the agent's goes.
const LEFT: &str = "/etc/wharf:\nauthority.key\ncoordinator.env\n\n/var/lib/wharf:\ncoordinator";
