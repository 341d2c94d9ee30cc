//! A private Docker engine, with its own socket, data root and network namespace, that a test may kill.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::release::Release;
use crate::{Docker, Program, SOON, Scratch, until};

/// An engine that has to find its containers again needs some time.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Stays where it is: the namespaces are there for every start of the engine, and all its mounts go with the last process
/// in them.
const STAY: &str = "echo moved in; exec sleep 2147483647";

/// Makes the folder `$1` the whole file system, with the folder `$2` of the machine at its own place in it, and stays.
const MOVE_IN: &str = r#"
mkdir -p "$1$2"
mount --bind "$1" "$1"
for shared in dev proc sys; do mount --rbind "/$shared" "$1/$shared"; done
mount -t tmpfs wharf-test "$1/run"
mount --bind "$2" "$1$2"
cd "$1"
pivot_root . .
exec /bin/busybox sh -ec 'umount -l .; ip link set lo up; echo moved in; exec sleep 2147483647'
"#;

/// What happens to containers when the engine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveRestore {
    /// They go on.
    On,
    /// They end with it.
    Off,
}

/// Who keeps the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// The engine itself, as it always did.
    Engine,
    /// Its containerd, as it does in new installations of Docker 29: an image's id is the digest of its manifest.
    Containerd,
}

/// Whose program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Machine,
    Fetched,
}

/// A second engine on this machine. It needs root, as any engine does.
#[derive(Debug)]
pub struct Engine {
    /// Keeps its namespaces.
    home: Program,
    scratch: Scratch,
    root: PathBuf,
    origin: Origin,
    live_restore: LiveRestore,
    store: ImageStore,
    process: Option<Program>,
}

impl Engine {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(live_restore: LiveRestore) -> Self {
        let scratch = Scratch::new();
        let root = scratch.path().join("root");
        Self::with_root(live_restore, scratch, root)
    }

    /// Starts one that keeps its data in a folder of the test's choice.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with_root(live_restore: LiveRestore, scratch: Scratch, root: PathBuf) -> Self {
        let home = home(&scratch, STAY, None);
        let (origin, store) = (Origin::Machine, ImageStore::Engine);
        Self { home, scratch, root, origin, live_restore, store, process: None }.started()
    }

    /// Starts one of another release, whose containers can have networks.
    ///
    /// # Panics
    /// When it can not be fetched, or does not start.
    #[must_use]
    pub fn of(release: Release, store: ImageStore, live_restore: LiveRestore) -> Self {
        let (files, scratch) = (release.root(), Scratch::new());
        let home = home(&scratch, MOVE_IN, Some(&files));
        let (origin, root) = (Origin::Fetched, scratch.path().join("root"));
        Self { home, scratch, root, origin, live_restore, store, process: None }.started()
    }

    fn started(mut self) -> Self {
        self.restart();
        self
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("docker.sock")
    }

    /// Where it keeps images and containers.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its own command line.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker::at(self.socket())
    }

    /// Does something where the engine's networks are, as on a machine that has only this engine: there its published
    /// ports are on the loopback address, and the addresses of its containers are reached.
    ///
    /// # Panics
    /// When that panics.
    pub fn beside<T: Send>(&mut self, what: impl FnOnce(&mut Self) -> T + Send) -> T {
        let home = self.home.id();
        let networks = File::open(format!("/proc/{home}/ns/net")).unwrap();
        // In a thread of its own: it never comes back from there.
        let done = std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(networks.as_fd(), kind).unwrap();
                what(self)
            });
            moved.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The beginning of the command that starts it. In a network namespace of its own, because an engine cleans away the
    /// bridges that it does not know.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.home.id().to_string(), "--net", "--mount"]);
        match self.origin {
            // Its containers have no networks, so that it needs nothing of the kernel for them.
            Origin::Machine => command.args(["dockerd", "--iptables=false"]),
            Origin::Fetched => {
                command.arg("/usr/sbin/dockerd").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            }
        };
        command
    }

    /// Starts it again and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let folder = self.scratch.path();
        let mut command = self.command();
        command.arg("--bridge=none");
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command.arg("--data-root").arg(&self.root).arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid")).arg("--shutdown-timeout=2");
        command.arg("--config-file").arg(self.scratch.write("daemon.json", self.config()));
        if self.live_restore == LiveRestore::On {
            command.arg("--live-restore");
        }
        // What a killed one has left would keep the next from starting.
        drop(std::fs::remove_file(folder.join("pid")));
        let process = Program::start(&mut command, &folder.join("dockerd.log"));
        until("the private engine answers (it needs root)", START_TIMEOUT, || {
            let said = self.docker().try_run(&["ps"]);
            let lines = process.log();
            let last = lines.lines().rev().take(5).collect::<Vec<_>>().join("\n");
            if said.code == 0 { Ok(()) } else { Err(format!("{}\n{last}", said.err)) }
        });
        self.process = Some(process);
    }

    fn config(&self) -> &'static str {
        match self.store {
            ImageStore::Engine => "{}",
            ImageStore::Containerd => r#"{"features": {"containerd-snapshotter": true}}"#,
        }
    }

    /// Ends it in order.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    /// When what ends with it does not.
    pub fn kill(&mut self) {
        self.process = None;
        // Its containerd ends with it, a moment later: an engine that still sees it would wait for ten seconds.
        let file = self.scratch.path().join("exec/containerd/containerd.pid");
        let Ok(number) = std::fs::read_to_string(file) else { return };
        let containerd = Path::new("/proc").join(number.trim());
        until("the engine's containerd ends", SOON, || {
            if containerd.exists() { Err(containerd.display().to_string()) } else { Ok(()) }
        });
    }
}

/// A process that has namespaces of its own for networks and mounts, and stays in them.
fn home(scratch: &Scratch, script: &str, files: Option<&Path>) -> Program {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"]);
    command.args(files).arg(scratch.path());
    let home = Program::start(&mut command, &scratch.path().join("home.log"));
    until("the engine's namespaces are there (it needs root)", START_TIMEOUT, || {
        if home.log().contains("moved in") { Ok(()) } else { Err(home.log()) }
    });
    home
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() && self.process.is_none() {
            return;
        }
        if self.process.is_none() {
            // What a killed engine left behind ends only with it.
            self.restart();
        }
        let docker = self.docker();
        let all = docker.try_run(&["ps", "-aq"]).out;
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            let _removed = docker.try_run(&[&["rm", "-f"], &all[..]].concat());
        }
        self.stop();
    }
}
