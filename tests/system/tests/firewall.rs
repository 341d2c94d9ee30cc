//! Containers are kept from the instance metadata service: on a machine with systemd and an engine that has networks, with a
//! service that answers at its addresses.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::program::{built, installed};
use system_tests::{Docker, Machine, Program, SOON, Said, Scratch, until};

const AGENT: &str = "wharf-agent.service";
/// The operator's command line on the machine.
const WHARF: &str = "WHARF_PLAINTEXT=true wharf --addr 127.0.0.1:7421";
const V4: &str = "169.254.169.254";
const V6: &str = "fd00:ec2::254";
/// Beside the service, and nobody's secret.
const NEIGHBOUR: &str = "169.254.169.253";
const INSTANCE: &str = "i-0123456789abcdef0";
/// What an administrator has put.
const FOREIGN: &[&str] = &[
    "iptables -I DOCKER-USER -s 10.99.0.0/16 -j DROP",
    "iptables -A FORWARD -s 10.98.0.0/16 -d 169.254.169.254/32 -j REJECT",
    "ip6tables -I FORWARD -s fd99::/64 -j DROP",
];

#[test]
fn t3_f35_containers_do_not_reach_the_metadata_service() {
    let node = Node::new();
    node.everybody_reaches_the_service_at_first();
    node.the_agent_puts_the_rule_and_touches_no_other();
    node.what_wharf_starts_does_not_reach_it_either();
    node.a_rule_that_was_flushed_comes_back();
    node.an_engine_that_starts_anew_opens_nothing();
    node.an_administrator_lets_a_network_through();
    node.what_can_not_be_done_is_said_and_stops_nothing();
    node.it_is_taken_away_when_that_is_asked_for();
}

/// A machine that is a whole cluster, and what answers at the addresses of its metadata service.
struct Node {
    machine: Machine,
    docker: Docker,
    _service: Program,
    _scratch: Scratch,
}

impl Node {
    fn new() -> Self {
        let (machine, scratch) = (Machine::debian(), Scratch::new());
        // Containers are without it unless they ask for it, and this one is a machine.
        machine.done(
            "for one in all default; do echo 0 >/proc/sys/net/ipv6/conf/$one/disable_ipv6; done",
        );
        let docker = machine.docker();
        docker.need_image();
        let service = serve(&scratch);
        connect(machine.id(), service.id());
        docker.run(&["network", "create", "--ipv6", "--subnet", "fd01::/64", "six"]);
        for (name, network) in [("plain", "bridge"), ("six", "six"), ("host", "host")] {
            let named = ["run", "--detach", "--name", name, "--network", network, IMAGE];
            docker.run(&[&named[..], &["sleep", "2147483647"]].concat());
        }
        let node = Self { machine, docker, _service: service, _scratch: scratch };
        node.install();
        node
    }

    /// What the packages would install, as it was built here.
    fn install(&self) {
        let machine = &self.machine;
        for name in ["wharf-agent", "wharf-coordinator", "wharf"] {
            machine.copy(&built(name), "/usr/bin/");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        machine.copy(&root.join("systemd").join(AGENT), "/etc/systemd/system/");
        machine.copy(&root.join("packaging/deb/wharf-agent/wharf-agent.sysusers"), "/root/");
        machine.done("systemd-sysusers /root/wharf-agent.sysusers; mkdir /etc/wharf");
        let coordinator = "wharf-coordinator --plaintext --data-dir /var/lib/coordinator";
        machine.done(&format!("systemd-run --unit coordinator {coordinator}"));
        self.firewall_is("on");
    }

    fn firewall_is(&self, what: &str) {
        let settings = "WHARF_PLAINTEXT=true\nWHARF_NODE=one\nWHARF_METADATA_FIREWALL=";
        self.machine.write("/etc/wharf/agent.env", &format!("{settings}{what}\n"));
    }

    fn asks(&self, container: &str, host: &str) -> Said {
        let request = r"printf 'GET /instance-id HTTP/1.0\r\n\r\n'";
        let line = format!("{request} | busybox nc -w 5 {host} 80");
        self.docker.try_run(&["exec", container, "sh", "-c", &line])
    }

    #[track_caller]
    fn reaches(&self, container: &str, host: &str) {
        until(&format!("{container} reaches {host}"), SOON, || {
            let said = self.asks(container, host);
            if said.out.ends_with(INSTANCE) {
                Ok(())
            } else {
                Err(format!("{said:?} {:#?}", self.rules()))
            }
        });
    }

    /// It is told so at once.
    #[track_caller]
    fn is_kept_from(&self, container: &str, host: &str) {
        until(&format!("{container} is kept from {host}"), SOON, || {
            let said = self.asks(container, host);
            let is_refused = said.code != 0 && said.err.contains("refused");
            if is_refused { Ok(()) } else { Err(said.out + &said.err + &self.machine.log(AGENT)) }
        });
    }

    /// All rules of both families, in their order.
    fn rules(&self) -> Vec<String> {
        let shown = self.machine.done("iptables -S; ip6tables -S");
        shown.lines().map(str::to_owned).collect()
    }

    fn ours(&self) -> Vec<String> {
        self.rules().into_iter().filter(|rule| rule.contains("wharf")).collect()
    }

    fn others(&self) -> Vec<String> {
        self.rules().into_iter().filter(|rule| !rule.contains("wharf")).collect()
    }

    fn wharf(&self, arguments: &str) -> String {
        self.machine.done(&format!("{WHARF} {arguments}"))
    }

    fn note(&self) -> String {
        let shown = self.wharf("node inspect one -o json");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["note"].as_str().unwrap().to_owned()
    }

    fn everybody_reaches_the_service_at_first(&self) {
        for (container, host) in [("plain", V4), ("six", V4), ("six", V6), ("host", V4)] {
            self.reaches(container, host);
        }
    }

    fn the_agent_puts_the_rule_and_touches_no_other(&self) {
        for rule in FOREIGN {
            self.machine.done(rule);
        }
        let before = self.others();
        self.machine.done(&format!("systemctl start {AGENT}"));
        for (container, host) in [("plain", V4), ("six", V4), ("six", V6)] {
            self.is_kept_from(container, host);
        }
        // Nothing else is, nor is who has the network of the machine.
        self.reaches("plain", NEIGHBOUR);
        self.reaches("host", V4);
        assert_eq!(self.others(), before);
        let ours = self.ours();
        assert!(ours.len() == 2 && ours[0].starts_with("-A DOCKER-USER -d 169.254"), "{ours:?}");
        let user = self.machine.done("stat --format %U /proc/$(pidof wharf-agent)");
        assert_eq!(user, "wharf-agent");
    }

    fn what_wharf_starts_does_not_reach_it_either(&self) {
        let command = "command: [sleep, '2147483647']";
        let deploy = "deploy: {update_config: {monitor: 0s}}";
        let file = format!(
            "name: lab\nservices:\n  app:\n    image: {IMAGE}\n    {command}\n    stop_grace_period: 1s\n    {deploy}\n"
        );
        self.machine.write("/root/compose.yaml", &file);
        until("the node is ready", SOON, || {
            let nodes = self.machine.run(&format!("{WHARF} node ls"));
            if nodes.out.contains("ready") { Ok(()) } else { Err(nodes.out + &nodes.err) }
        });
        self.wharf("deploy -y /root/compose.yaml");
        let task = self.docker.run(&["ps", "-q", "--filter", "label=wharf.task"]);
        self.is_kept_from(&task, V4);
        self.reaches(&task, NEIGHBOUR);
        assert_eq!(self.note(), "");
    }

    fn a_rule_that_was_flushed_comes_back(&self) {
        self.machine.done("iptables -F DOCKER-USER; ip6tables -F FORWARD");
        self.is_kept_from("plain", V4);
        self.is_kept_from("six", V6);
        // One that others have put before it for everything makes it worth nothing where it is.
        self.machine.done("iptables -I DOCKER-USER -j RETURN");
        self.is_kept_from("plain", V4);
        assert_eq!(self.ours().len(), 2);
    }

    fn an_engine_that_starts_anew_opens_nothing(&self) {
        self.machine.done("systemctl restart docker");
        self.docker.run(&["start", "plain", "six", "host"]);
        self.is_kept_from("plain", V4);
        self.is_kept_from("six", V6);
        // Its chains are lost with all that is in them, as with some firewalls that are loaded anew.
        self.machine.done("systemctl stop docker.socket docker; iptables -F; iptables -X");
        until("the rule is where everything goes through", SOON, || {
            let ours = self.ours();
            let is_there = ours.iter().any(|rule| rule.starts_with("-A FORWARD -d 169.254"));
            if is_there { Ok(()) } else { Err(format!("{ours:?} {}", self.machine.log(AGENT))) }
        });
        self.machine.done("systemctl start docker");
        self.docker.run(&["start", "plain", "six", "host"]);
        until("the rule is before those of the engine", SOON, || {
            let ours = self.ours();
            let is_there = ours.len() == 2 && ours[0].starts_with("-A DOCKER-USER -d 169.254");
            if is_there { Ok(()) } else { Err(format!("{ours:?} {}", self.machine.log(AGENT))) }
        });
        self.is_kept_from("plain", V4);
    }

    fn an_administrator_lets_a_network_through(&self) {
        let ranges = self.docker.run(&["network", "inspect", "six"]);
        let ranges: Value = serde_json::from_str(&ranges).unwrap();
        let ranges = ranges[0]["IPAM"]["Config"].as_array().unwrap();
        let mut ranges = ranges.iter().filter_map(|range| range["Subnet"].as_str());
        let range = ranges.find(|range| range.contains('.'));
        let range = range.expect("the network has a range of IPv4");
        let rule = format!("DOCKER-USER -s {range} -d {V4}/32 -j ACCEPT");
        self.machine.done(&format!("iptables -I {rule}"));
        self.reaches("six", V4);
        self.is_kept_from("plain", V4);
        self.machine.done(&format!("iptables -D {rule}"));
        self.is_kept_from("six", V4);
    }

    fn what_can_not_be_done_is_said_and_stops_nothing(&self) {
        let agent = self.machine.done("pidof wharf-agent");
        self.machine.done("mv /usr/sbin/ip6tables /root/");
        until("the node says so", SOON, || {
            let note = self.note();
            if note.contains("ip6tables: there is no such program") { Ok(()) } else { Err(note) }
        });
        self.is_kept_from("plain", V4);
        self.machine.done("mv /root/ip6tables /usr/sbin/");
        until("nothing is to be said", SOON, || {
            let note = self.note();
            if note.is_empty() { Ok(()) } else { Err(note) }
        });
        assert_eq!(self.machine.done("pidof wharf-agent"), agent);
    }

    fn it_is_taken_away_when_that_is_asked_for(&self) {
        let before = self.others();
        // An agent that ends leaves it: containers go on.
        self.machine.done(&format!("systemctl stop {AGENT}"));
        self.is_kept_from("plain", V4);
        self.firewall_is("off");
        self.machine.done(&format!("systemctl start {AGENT}"));
        for (container, host) in [("plain", V4), ("six", V6)] {
            self.reaches(container, host);
        }
        assert_eq!((self.ours(), self.others()), (Vec::new(), before));
    }
}

/// A service in networks of its own, which answers at every address that these have.
fn serve(scratch: &Scratch) -> Program {
    let page = scratch.write("pages/instance-id", INSTANCE);
    let mut command = Command::new("unshare");
    command.arg("--net").arg(installed("/bin/busybox", "busybox-static"));
    command.args(["httpd", "-f", "-p", "80", "-h"]).args(page.parent());
    let service = Program::start(&mut command, &scratch.path().join("service.log"));
    let networks = |process: String| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    until("the service has networks of its own (it needs root)", SOON, || {
        let is_apart = networks(service.id().to_string()) != networks("self".to_owned());
        if is_apart { Ok(()) } else { Err(service.log()) }
    });
    service
}

/// A wire from the machine to the service, which has its addresses at the other end.
fn connect(machine: u64, service: u32) {
    let ip = installed("/sbin/ip", "iproute2");
    let (machine, service) = (machine.to_string(), service.to_string());
    let wire = ["link", "add", "imds", "netns", &machine, "type", "veth"];
    let peer = ["peer", "name", "machine", "netns", &service];
    let _laid = Said::by(Command::new(&ip).args(wire).args(peer), "").good();
    let within = |process: &str, line: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--target", process, "--net"]).arg(&ip).args(line.split(' '));
        let _done = Said::by(&mut command, "").good();
    };
    for line in ["addr add 169.254.1.1/16 dev imds", "addr add fd00:ec2::1/64 dev imds nodad"] {
        within(&machine, line);
    }
    within(&machine, "link set imds up");
    for address in ["169.254.169.254/16", "169.254.169.253/16", "fd00:ec2::254/64"] {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        within(&service, &format!("addr add {address} dev machine{nodad}"));
    }
    within(&service, "link set machine up");
    within(&service, "route add fd01::/64 via fd00:ec2::1");
}
