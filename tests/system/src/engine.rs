//! A private Docker engine, with its own socket, data root and network namespace, that a test may kill.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Docker, Program, Scratch, until};

/// An engine that has to find its containers again needs some time.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What happens to containers when the engine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveRestore {
    /// They go on.
    On,
    /// They end with it.
    Off,
}

/// A second engine on this machine. It needs root, as any engine does.
#[derive(Debug)]
pub struct Engine {
    scratch: Scratch,
    root: PathBuf,
    live_restore: LiveRestore,
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
        let mut engine = Self { scratch, root, live_restore, process: None };
        engine.restart();
        engine
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

    /// Starts it again and waits until it answers. In a network namespace of its own, because an engine cleans away
    /// the bridges that it does not know.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let folder = self.scratch.path();
        let mut command = Command::new("unshare");
        command.args(["--net", "dockerd", "--bridge=none", "--iptables=false"]);
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command.arg("--data-root").arg(&self.root).arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid")).arg("--shutdown-timeout=2");
        command.arg("--config-file").arg(self.scratch.write("daemon.json", "{}"));
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
    pub fn kill(&mut self) {
        self.process = None;
    }
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
