//! A machine with an init of its own, out of a container: Debian with systemd, and a Docker engine in it.
//!
//! It is as far from this machine as a container can be that starts containers: its cgroups, its processes, its files and its
//! network, which leads nowhere, are its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use rustix::fs::{FlockOperation, flock};

use crate::program::{built, installed};
use crate::release::{KEYRING, codename, mirror, target};
use crate::{Docker, Packages, SOON, Said, until};

/// What a machine has beyond what every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,docker.io,iptables";

/// Raised when what is above changes, so that no older image is taken for the new one.
const NUMBER: u32 = 1;

/// The cgroups of the machine begin at its own, and are made writable there: an engine and an init make some.
const INIT: &str = r#"
grep ' cgroup' /proc/mounts | while read -r _ folder _; do mount -o remount,rw,bind "$folder"; done
exec /sbin/init
"#;

/// What a container needs to be a machine. Not `--privileged`, which is refused where the engine itself lacks something.
const RIGHTS: &[&str] = &[
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--cgroupns=private",
];

const PLACES: &[&str] =
    &["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp", "--env=container=docker"];

/// An engine within an engine can not stack its file systems on those of the outer one, hence the volume.
const APART: &[&str] = &["--volume=/var/lib/docker", "--network=none"];

/// Where an image that is launched as an instance has what begins it.
pub(crate) const BEGIN: &str = "/sbin/machine";

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A machine that is taken away at the end, with all that runs on it.
#[derive(Debug)]
pub struct Machine {
    /// The engine that it is a container of.
    outer: Docker,
    name: String,
}

impl Machine {
    /// Starts a Debian of the release that this machine has, and waits until its services are there.
    ///
    /// # Panics
    /// When its image can not be made, or it does not start; it says what is missing.
    #[must_use]
    pub fn debian() -> Self {
        Self::start(&image())
    }

    /// Starts one from an image that has systemd.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(image: &str) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("wharf-machine-{}-{number}", std::process::id());
        let machine = Self { outer: Docker::default(), name };
        let named = ["run", "--detach", "--name", &machine.name, "--hostname", "machine"];
        let init = [image, "sh", "-ec", INIT];
        machine.outer.run(&[&named[..], RIGHTS, PLACES, APART, &init[..]].concat());
        until("the machine has started", SOON, || {
            let said = machine.run("systemctl is-system-running");
            let is_up = ["running", "degraded"].contains(&said.out.trim());
            if is_up { Ok(()) } else { Err(said.out + &said.err + &machine.console()) }
        });
        // As systemd has it on a machine of its own: what it mounts for a service, its credentials, is seen by the service.
        machine.done("mount --make-rshared /");
        machine
    }

    /// Runs a line of shell there, as root.
    #[must_use]
    pub fn run(&self, line: &str) -> Said {
        self.outer.try_run(&["exec", &self.name, "sh", "-c", line])
    }

    /// Runs a line that must go well, and gives what it printed.
    ///
    /// # Panics
    /// When it does not go well.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "most lines are run for what they do")]
    pub fn done(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, 0, "{line}: {}{}", said.out, said.err);
        said.out.trim().to_owned()
    }

    /// Copies a file or a folder into a folder there.
    ///
    /// # Panics
    /// When there is no such file or folder.
    pub fn copy(&self, from: &Path, folder: &str) {
        let to = format!("{}:{folder}", self.name);
        self.outer.run(&["cp", &from.display().to_string(), &to]);
    }

    /// Writes a file there.
    ///
    /// # Panics
    /// When there is no such folder.
    pub fn write(&self, path: &str, text: &str) {
        let cat = format!("cat >'{path}'");
        let mut command = Command::new("docker");
        command.args(["exec", "--interactive", &self.name, "sh", "-c", &cat]);
        let _nothing = Said::by(&mut command, text).good();
    }

    /// Waits until systemd says this of a unit: `active`, `inactive`, `failed`, …
    ///
    /// # Panics
    /// When it does not in time; it shows what the unit has logged.
    #[track_caller]
    pub fn unit_is(&self, unit: &str, state: &str) {
        until(&format!("{unit} is {state}"), SOON, || {
            let said = self.run(&format!("systemctl is-active {unit}")).out;
            let is_so = said.trim() == state;
            if is_so { Ok(()) } else { Err(format!("{}\n{}", said.trim(), self.log(unit))) }
        });
    }

    /// One property of a unit, as `systemctl show` has it.
    ///
    /// # Panics
    /// When systemd does not say.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.done(&format!("systemctl show --property {name} --value {unit}"))
    }

    /// The last lines that a unit has logged.
    #[must_use]
    pub fn log(&self, unit: &str) -> String {
        self.run(&format!("journalctl --no-pager --lines 20 --unit {unit}")).out
    }

    /// The engine that runs on it.
    ///
    /// # Panics
    /// When the machine is gone.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker::at(PathBuf::from(format!("/proc/{}/root/run/docker.sock", self.id())))
    }

    /// Its first process, by the number that it has outside: its networks are found by it.
    ///
    /// # Panics
    /// When the machine is gone.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outer.container(&self.name).expect("the machine is there").pid
    }

    /// Has its files, but for what its engine has, be an image of the engine that it is a container of.
    fn commit(&self, name: &str) {
        self.outer.run(&["commit", &self.name, name]);
    }

    fn console(&self) -> String {
        self.outer.try_run(&["logs", "--tail", "20", &self.name]).out
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may never have started.
        let _gone = self.outer.try_run(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// Has the image of a machine on the engine. Its files are fetched once and kept beside what cargo builds.
fn image() -> String {
    let suite = codename();
    let name = format!("wharf-machine:{suite}-{NUMBER}");
    let folder = target().join("machines");
    fs::create_dir_all(&folder).unwrap();
    // Two tests may want it at once: one makes it, the other finds it.
    let lock = File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let engine = Docker::default();
    if engine.try_run(&["image", "inspect", &name]).code != 0 {
        let files = folder.join(format!("{suite}-{NUMBER}.tar"));
        if !files.exists() {
            fetch(&suite, &files);
        }
        engine.run(&["import", &files.display().to_string(), &name]);
    }
    name
}

/// What `docker create` needs for a machine that somebody else starts, but for its disk and its network.
pub(crate) fn arguments() -> String {
    [RIGHTS, PLACES].concat().join(" ")
}

/// Has the image of a machine on the engine in which the agent of this build is installed, and begins with the machine.
pub(crate) fn image_with_agent() -> String {
    let about = fs::metadata(built("wharf-agent")).unwrap();
    let built_at = about.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let name = format!("wharf-machine:agent-{NUMBER}-{built_at}");
    let lock = File::create(target().join("machines-with-agent.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let engine = Docker::default();
    if engine.try_run(&["image", "inspect", &name]).code == 0 {
        return name;
    }
    let older = engine.run(&["images", "-q", "--filter", "reference=wharf-machine:agent-*"]);
    for image in older.lines() {
        // Something of an older build may still run.
        let _removed = engine.try_run(&["rmi", image]);
    }
    let (packages, machine) = (Packages::new(), Machine::debian());
    for package in packages.files() {
        machine.copy(&package, "/root");
    }
    machine.done("dpkg --install /root/wharf-agent_*.deb && rm /root/*.deb");
    machine.write(BEGIN, &format!("#!/bin/sh -e{INIT}"));
    // What is different on each machine: systemd and the engine make it anew.
    machine.done(&format!(
        "chmod 755 {BEGIN}; systemctl enable wharf-agent; systemctl stop wharf-agent docker; \
         rm -rf /var/lib/wharf/agent/* /etc/docker/key.json; truncate --size 0 /etc/machine-id"
    ));
    machine.commit(&name);
    name
}

/// Fetches the files of a machine; `to` is there only when all of them are in it.
fn fetch(suite: &str, to: &Path) {
    assert!(Path::new(KEYRING).exists(), "these tests need the package debian-archive-keyring");
    let unfinished = to.with_file_name("unfinished.tar");
    let mirror = mirror();
    let mut command = Command::new(installed("/usr/bin/mmdebstrap", "mmdebstrap"));
    command.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
    command.args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"3\""]);
    command.arg(suite).arg(&unfinished);
    command.arg(format!("deb [signed-by={KEYRING}] {mirror} {suite} main"));
    let said = Said::by(&mut command, "");
    assert_eq!(
        said.code, 0,
        "these tests make a machine of Debian {suite} from {mirror}, and mmdebstrap failed: {}",
        said.err
    );
    fs::rename(unfinished, to).unwrap();
}
