//! Machine images for nodes: the script that makes a machine one, run on a machine as each builder of images would run it.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::program::installed;
use system_tests::{Kernel, Machine, Packages, Said, Scratch, templates};

/// What the script reads from its environment.
const VARIABLES: [&str; 5] =
    ["WHARF_PACKAGE", "WHARF_PACKAGE_SHA256", "WHARF_ADDR", "WHARF_JOIN", "WHARF_AUTHORITY"];

const ADDRESS: &str = "wharf.example:7421";
const AUTHORITY: &str = "sha256:1f7b";
/// Where the script is on a node.
const KEPT: &str = "/usr/lib/wharf/setup.sh";
const AGENT: &str = "wharf-agent.service";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn ami(name: &str) -> PathBuf {
    root().join("packaging/ami").join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Every word that stands between these two.
fn between<'a>(text: &'a str, open: &str, close: &str) -> BTreeSet<&'a str> {
    let pieces = text.split(open).skip(1);
    pieces.filter_map(|piece| piece.split_once(close)).map(|(word, _)| word.trim()).collect()
}

#[test]
fn packer_is_told_of_the_script_and_of_all_that_it_reads() {
    let file = text(&ami("wharf.pkr.hcl"));
    let template = templates::read(&ami("wharf.pkr.hcl"));
    let declared = template["variable"].as_array().unwrap().iter();
    let declared: BTreeSet<String> =
        declared.flat_map(|one| one.as_object().unwrap().keys().cloned()).collect();
    let words = file.split("var.").skip(1);
    let name = |word: &str| -> String {
        word.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let used: BTreeSet<String> = words.map(name).collect();
    assert_eq!(declared, used);
    let shells = provisioners(&template, "shell");
    let setup = shells.iter().find(|shell| shell["script"].is_string()).unwrap();
    assert_eq!(setup["script"], "${path.root}/setup.sh");
    let given = texts(&setup["environment_vars"]);
    let given: Vec<&str> = given.iter().map(|one| one.split_once('=').unwrap().0).collect();
    assert_eq!(given, VARIABLES);
    assert_eq!(template["source"][0]["amazon-ebs"]["node"]["imds_support"], "v2.0");
    has_no_secret(&file);
}

#[test]
fn image_builder_is_told_of_the_script_and_of_all_that_it_reads() {
    let file = text(&ami("component.yaml"));
    let component = templates::read(&ami("component.yaml"));
    assert_eq!(component["schemaVersion"].as_f64(), Some(1.0));
    let phases = component["phases"].as_array().unwrap().iter();
    let names: Vec<&str> = phases.map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["build", "validate", "test"]);
    let declared = component["parameters"].as_array().unwrap().iter();
    let declared: BTreeSet<&str> =
        declared.flat_map(|one| one.as_object().unwrap().keys().map(String::as_str)).collect();
    assert_eq!(declared, between(&file, "{{", "}}"));
    let fetched = texts(&step(&component, "build", "Fetch")["inputs"][0]["source"]);
    assert_eq!(fetched, ["{{ Folder }}/setup.sh"]);
    let commands = texts(&step(&component, "build", "SetUp")["inputs"]["commands"]).join("\n");
    for name in VARIABLES {
        assert!(commands.contains(&format!("{name}='")), "{name} is not given: {commands}");
    }
    has_no_secret(&file);
}

#[test]
fn the_script_reads_nothing_else_and_takes_away_what_a_bake_takes_away() {
    let script = text(&ami("setup.sh"));
    let (_, head) = script.split_once("# It reads from the environment:").unwrap();
    let (head, _) = head.split_once("set -eu").unwrap();
    for name in VARIABLES {
        assert!(head.contains(name), "{name} is not explained");
    }
    let read = between(&script, "${WHARF_", ":-}");
    assert_eq!(read, ["PACKAGE", "PACKAGE_SHA256"].into(), "by name; the others by a list");
    assert!(script.contains("for name in WHARF_ADDR WHARF_JOIN WHARF_AUTHORITY; do"));
    let (_, gone) = script.split_once("gone() {\n    cat <<'END'\n").unwrap();
    let (gone, _) = gone.split_once("\nEND").unwrap();
    let bake = text(&root().join("agent/src/bake/scrub.rs"));
    let list = |name: &str| {
        let (_, list) = bake.split_once(&format!("const {name}: &[&str] =")).unwrap();
        list.split_once(';').unwrap().0.to_owned()
    };
    let paths: Vec<String> = list("GONE").split('"').skip(1).step_by(2).map(Into::into).collect();
    assert!(paths.len() > 10, "{paths:?}");
    assert_eq!(gone.lines().collect::<Vec<_>>(), paths);
    for name in list("OWN_SETTINGS").split('"').skip(1).step_by(2) {
        assert!(script.contains(&format!("{name}|")) || script.contains(&format!("|{name})")));
    }
    let (_, shell) = bake.split_once("const SHELL: &str = r\"").unwrap();
    let (shell, _) = shell.split_once("\";").unwrap();
    let lines = shell.lines().map(str::trim).filter(|line| !line.is_empty());
    // Image Builder works below /tmp until the end.
    for line in lines.filter(|line| *line != "rm -rf /tmp/* /var/tmp/*") {
        assert!(script.contains(line), "a bake does {line:?} as well");
    }
}

fn has_no_secret(text: &str) {
    for word in ["AKIA", "PRIVATE KEY", "WHARF_JOIN_TOKEN", "secret_key", "password"] {
        assert!(!text.contains(word), "{word} has no place here");
    }
}

fn provisioners(template: &Value, kind: &str) -> Vec<Value> {
    let all = template["build"][0]["provisioner"].as_array().unwrap();
    all.iter().filter_map(|one| one.get(kind)).cloned().collect()
}

fn step(component: &Value, phase: &str, name: &str) -> Value {
    let named = |list: &Value, name: &str| {
        let found = list.as_array().unwrap().iter().find(|one| one["name"] == name);
        found.cloned().unwrap_or_else(|| panic!("there is no {name}"))
    };
    named(&named(&component["phases"], phase)["steps"], name)
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().unwrap().to_owned();
    value.as_array().map_or_else(|| vec![one(value)], |all| all.iter().map(one).collect())
}

/// A machine that becomes an image.
struct Builder {
    machine: Machine,
    /// The agent's package here, and its digest.
    package: PathBuf,
    digest: String,
}

#[test]
fn a_machine_becomes_a_node_whoever_builds_its_image() {
    let _kernel = Kernel::keep();
    let packages = Packages::only("wharf-agent");
    let package = packages.files().remove(0);
    let digest = Said::by(Command::new("sha256sum").arg(&package), "").good();
    let digest = digest.split(' ').next().unwrap().to_owned();
    let builder = Builder { machine: Machine::debian(), package, digest };
    builder.has_a_place_to_install_from();
    builder.what_is_missing_is_named();
    builder.packer_makes_it_a_node_and_a_container_goes_on();
    builder.image_builder_finds_nothing_left_to_do();
    builder.what_is_broken_is_named();
    builder.settings_of_others_are_not_overwritten();
    builder.a_new_machine_takes_what_its_template_says();
    builder.what_is_its_own_is_taken_away();
}

impl Builder {
    /// The machine's network leads nowhere: what the script installs comes out of a folder.
    fn has_a_place_to_install_from(&self) {
        let scratch = Scratch::new();
        let about = "Package: ca-certificates\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n";
        let _control = scratch.write("package/DEBIAN/control", about);
        let folder = scratch.path().join("repository");
        fs::create_dir(&folder).unwrap();
        let mut build = Command::new("dpkg-deb");
        build.arg("--build").arg(scratch.path().join("package")).arg(&folder);
        let _built = Said::by(&mut build, "").good();
        let mut index = Command::new(installed("/usr/bin/dpkg-scanpackages", "dpkg-dev"));
        let index = Said::by(index.arg(".").current_dir(&folder), "").good();
        fs::write(folder.join("Packages"), index).unwrap();
        self.machine.copy(&folder, "/root");
        self.machine.done("rm -f /etc/apt/sources.list.d/*");
        self.machine.write("/etc/apt/sources.list", "deb [trusted=yes] file:/root/repository ./\n");
    }

    fn what_is_missing_is_named(&self) {
        self.machine.copy(&ami("setup.sh"), "/root");
        let said = self.machine.run("sh /root/setup.sh --check");
        for missing in ["90-wharf.conf", "\"live-restore\":true", "false json-file", KEPT, AGENT] {
            assert!(said.out.contains(missing), "{missing}: {}{}", said.out, said.err);
        }
        assert_eq!(said.code, 1);
        let said = self.machine.run("sh /root/setup.sh");
        assert!(said.code == 1 && said.err.contains("give its package in WHARF_PACKAGE"));
        // As it was.
        self.machine.done("rm /etc/docker/daemon.json /etc/sysctl.d/90-wharf.conf");
        self.machine.done("systemctl restart docker");
    }

    fn packer_makes_it_a_node_and_a_container_goes_on(&self) {
        let docker = self.machine.docker();
        docker.need_image();
        docker.run(&["run", "--detach", "--name", "old", IMAGE, "sleep", "2147483647"]);
        let before = docker.container("old").unwrap();
        let template = templates::read(&ami("wharf.pkr.hcl"));
        let at = texts(&provisioners(&template, "file")[0]["destination"]).remove(0);
        self.put(&self.package, &at);
        let shells = provisioners(&template, "shell");
        let shell = shells.iter().find(|shell| shell["script"].is_string()).unwrap();
        self.put(&ami("setup.sh"), "/tmp/script_1.sh");
        let variables = texts(&shell["environment_vars"]).into_iter().map(|one| {
            let (name, value) = one.split_once('=').unwrap();
            format!("{name}='{value}'")
        });
        let variables = variables.collect::<Vec<_>>().join(" ");
        let line = texts(&shell["execute_command"]).remove(0);
        let line =
            line.replace("{{ .Vars }}", &variables).replace("{{ .Path }}", "/tmp/script_1.sh");
        let line = line
            .replace("${var.package_sha256}", &self.digest)
            .replace("${var.address}", ADDRESS)
            .replace("${var.join}", "aws-sts")
            .replace("${var.authority}", AUTHORITY)
            .replace("sudo ", "");
        let wrong = line.replace(&self.digest, &self.digest.replace(|_| true, "0"));
        let said = self.machine.run(&wrong);
        assert!(said.code == 1 && said.err.contains("does not have the digest"), "{}", said.err);
        let _said = self.machine.done(&line);
        self.is_a_node();
        assert_eq!(docker.container("old"), Some(before), "the engine was restarted around it");
        let check = texts(&shells.last().unwrap()["inline"]).remove(0);
        self.machine.done(&check.replace("sudo ", ""));
    }

    /// Some folders of the machine are in memory, where nothing can be copied to from outside.
    fn put(&self, here: &Path, there: &str) {
        self.machine.copy(here, "/root/put");
        self.machine.done(&format!("mkdir -p $(dirname {there}) && mv /root/put {there}"));
    }

    /// It is all there, and nothing of it has begun.
    fn is_a_node(&self) {
        let machine = &self.machine;
        let live = machine.done("docker info --format '{{.LiveRestoreEnabled}}'");
        assert_eq!(live, "true");
        assert_eq!(machine.done(&format!("systemctl is-enabled {AGENT}")), "enabled");
        assert_eq!(machine.run(&format!("systemctl is-active {AGENT}")).out.trim(), "inactive");
        assert_eq!(machine.run("ls /var/lib/wharf").code, 2, "the agent was started");
        let settings = machine.done("grep -v '^#' /etc/wharf/agent.env | grep .");
        let expected =
            format!("WHARF_ADDR={ADDRESS}\nWHARF_JOIN=aws-sts\nWHARF_AUTHORITY={AUTHORITY}");
        assert_eq!(settings, expected);
        let limits = machine.docker().run(&["run", "--detach", "--name", "new", IMAGE, "true"]);
        let shown = ["inspect", "--format", "{{json .HostConfig.LogConfig.Config}}", &limits];
        assert_eq!(machine.docker().run(&shown), r#"{"max-file":"3","max-size":"10m"}"#);
        machine.docker().run(&["rm", "--force", "new"]);
    }

    fn image_builder_finds_nothing_left_to_do(&self) {
        let component = templates::read(&ami("component.yaml"));
        let downloads = step(&component, "build", "Fetch")["inputs"].clone();
        for (download, here) in
            downloads.as_array().unwrap().iter().zip([&ami("setup.sh"), &self.package])
        {
            self.put(here, download["destination"].as_str().unwrap());
        }
        let said = self.executed(&step(&component, "build", "SetUp"));
        assert!(!said.contains("wrote"), "it was all there already: {said}");
        self.is_a_node();
        for phase in ["validate", "test"] {
            let _said = self.executed(&step(&component, phase, "Check"));
        }
    }

    /// As Image Builder runs commands.
    fn executed(&self, step: &Value) -> String {
        assert_eq!(step["action"], "ExecuteBash");
        let script = texts(&step["inputs"]["commands"]).join("\n");
        let script = script
            .replace("{{ PackageSha256 }}", &self.digest)
            .replace("{{ Address }}", ADDRESS)
            .replace("{{ Join }}", "aws-sts")
            .replace("{{ Authority }}", AUTHORITY);
        assert!(!script.contains("{{"), "{script}");
        self.machine.write("/root/commands", &script);
        self.machine.done("bash /root/commands && rm /root/commands")
    }

    fn what_is_broken_is_named(&self) {
        for (broken, named) in [
            ("echo 65530 > /proc/sys/vm/max_map_count", "vm.max_map_count is 65530, and should be"),
            ("sed -i /kernel.panic/d /etc/sysctl.d/90-wharf.conf", "90-wharf.conf as this script"),
            ("systemctl disable wharf-agent", "wharf-agent.service is not enabled"),
            (
                "rm -r /etc/systemd/system/wharf-agent.service.d",
                "50-first-boot.conf as this script",
            ),
        ] {
            self.machine.done(broken);
            let said = self.machine.run(&format!("{KEPT} --check"));
            assert_eq!(said.code, 1, "{broken}: {}{}", said.out, said.err);
            assert_eq!(said.out.lines().count(), 1, "{broken}: {}", said.out);
            assert!(said.out.contains(named), "{broken}: {}", said.out);
            // Run again it is repaired, by what was kept on the machine.
            self.machine.done(KEPT);
        }
        self.is_a_node();
    }

    fn settings_of_others_are_not_overwritten(&self) {
        let machine = &self.machine;
        let file = "/etc/docker/daemon.json";
        let own = "{\"live-restore\": true, \"debug\": false}\n";
        machine.write(file, own);
        let said = machine.run(KEPT);
        assert_eq!(said.code, 1, "{}", said.out);
        assert!(
            said.err.contains("add to it by hand: \"log-driver\":\"json-file\""),
            "{}",
            said.err
        );
        assert_eq!(machine.done(&format!("cat {file}")), own.trim());
        let own = "{\"debug\": false, \"live-restore\":true, \"log-driver\": \"json-file\",\n\
                   \"log-opts\": {\"max-size\": \"50m\", \"max-file\": \"2\"}}";
        machine.write(file, own);
        machine.done(KEPT);
        assert_eq!(machine.done(&format!("cat {file}")), own);
    }

    fn a_new_machine_takes_what_its_template_says(&self) {
        let machine = &self.machine;
        let cloud = "/var/lib/cloud/instance";
        machine.done(&format!("mkdir -p {cloud}s/i-1 && ln -s instances/i-1 {cloud}"));
        let told = "# of the template\nWHARF_ADDR=other.example:7421\nREGION_FACTS=no\n";
        machine.write(&format!("{cloud}/user-data.txt"), told);
        // A machine that runs from a copy of another one's disk.
        machine.write("/etc/wharf/instance.env", "# What machine 1 was told\nWHARF_ZONE=b\n");
        machine.done("systemctl start wharf-first-boot");
        let id = machine.done("cat /etc/machine-id");
        let own = format!("# What machine {id} was told when it was new.");
        let settings = "cat /etc/wharf/instance.env";
        assert_eq!(machine.done(settings), format!("{own}\nWHARF_ADDR=other.example:7421"));
        // It is the same machine after it has booted again, whatever the template says by then.
        machine.write(&format!("{cloud}/user-data.txt"), "WHARF_ADDR=third.example:7421\n");
        machine.done("systemctl restart wharf-first-boot");
        assert!(machine.done(settings).contains("other.example"));
        let loaded = machine.property(AGENT, "EnvironmentFiles");
        let files: Vec<&str> = loaded.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(files, ["/etc/wharf/agent.env", "/etc/wharf/instance.env"]);
        // A script is cloud-init's: that of the builder of a bake says what is for its agent alone.
        let script = "#!/bin/sh\nWHARF_BUILDER=true\n";
        machine.write(&format!("{cloud}/user-data.txt"), script);
        machine.done("rm /etc/wharf/instance.env && systemctl restart wharf-first-boot");
        assert_eq!(machine.done(settings), own);
    }

    fn what_is_its_own_is_taken_away(&self) {
        let machine = &self.machine;
        machine.done("mkdir -p /root/.ssh /var/lib/wharf/agent /tmp/TOE_2026");
        machine.done("touch /root/.ssh/authorized_keys /var/lib/wharf/agent/identity.pem /tmp/x");
        machine.done("echo WHARF_NODE=builder >>/etc/wharf/agent.env");
        let component = templates::read(&ami("component.yaml"));
        let said = self.executed(&step(&component, "validate", "Scrub"));
        assert!(said.ends_with("is clean"), "{said}");
        let left = machine.done(
            "ls /root/.ssh /var/lib/wharf/agent /tmp /etc/wharf /var/lib/cloud/instances; \
             cat /etc/machine-id; docker ps --all --quiet; grep NODE= /etc/wharf/agent.env",
        );
        let expected = "/etc/wharf:\nagent.env\n\n/root/.ssh:\n\n/tmp:\nTOE_2026\n\n\
                        /var/lib/cloud/instances:\n\n/var/lib/wharf/agent:\n#WHARF_NODE=";
        assert_eq!(left, expected);
    }
}
