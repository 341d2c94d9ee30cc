//! The engine as its own command line shows it.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::Said;
use crate::program::installed;

/// A small Linux out of one program, with a shell.
pub const IMAGE: &str = "wharf-test:1";

/// What the shell of the image finds.
const APPLETS: &[&str] = &[
    "sh", "cat", "dd", "echo", "env", "false", "head", "httpd", "id", "kill", "ls", "nslookup",
    "ps", "seq", "sleep", "stty", "tail", "test", "touch", "true", "tty", "wget", "yes",
];

static IMAGE_MADE: Once = Once::new();

/// One engine.
#[derive(Debug, Clone, Default)]
pub struct Docker {
    socket: Option<PathBuf>,
}

/// A container as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Without the slash.
    pub name: String,
    /// `running`, `exited`, `paused`, …
    pub status: String,
    /// When it was started last.
    pub started_at: String,
    /// Its process on this machine, 0 when it does not run.
    pub pid: u64,
    /// The task it belongs to, when it is ours.
    pub task: String,
}

impl Docker {
    /// The engine behind another socket.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket: Some(socket) }
    }

    /// Runs a docker command.
    ///
    /// # Panics
    /// When there is no docker command line.
    #[must_use]
    pub fn try_run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new("docker");
        if let Some(socket) = &self.socket {
            command.arg("--host").arg(format!("unix://{}", socket.display()));
        }
        Said::by(command.args(arguments), "")
    }

    /// Runs a docker command that must go well, and gives what it printed.
    ///
    /// # Panics
    /// When it does not go well.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "most commands are run for what they do")]
    pub fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).good().trim().to_owned()
    }

    /// The containers with a label, in the order of their names.
    ///
    /// # Panics
    /// When the engine does not say.
    #[must_use]
    pub fn containers(&self, label: &str) -> Vec<Container> {
        let ids = self.run(&["ps", "-aq", "--no-trunc", "--filter", &format!("label={label}")]);
        let mut found: Vec<Container> = ids.lines().filter_map(|id| self.container(id)).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// One container, by name or id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<Container> {
        let said = self.try_run(&["container", "inspect", id]);
        let all: Value = serde_json::from_str(&said.out).ok()?;
        let one = all.get(0)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Container {
            id: text(&one["Id"]),
            name: text(&one["Name"]).trim_start_matches('/').to_owned(),
            status: text(&one["State"]["Status"]),
            started_at: text(&one["State"]["StartedAt"]),
            pid: one["State"]["Pid"].as_u64().unwrap_or_default(),
            task: text(&one["Config"]["Labels"]["wharf.task"]),
        })
    }

    /// Has [`IMAGE`] on the engine.
    ///
    /// # Panics
    /// When it can not be made; it says what is missing.
    pub fn need_image(&self) {
        if self.socket.is_some() {
            return self.make_image();
        }
        IMAGE_MADE.call_once(|| self.make_image());
    }

    /// Two test programs may begin at once: one makes it, the other finds it.
    fn make_image(&self) {
        let info = self.try_run(&["version", "--format", "{{.Server.Version}}"]);
        assert_eq!(
            info.code, 0,
            "these tests need a Docker engine, and none answers: {}",
            info.err
        );
        let lock = File::create(std::env::temp_dir().join("wharf-test-image.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        if self.try_run(&["image", "inspect", IMAGE]).code == 0 {
            return;
        }
        let scratch = crate::Scratch::new();
        let bin = scratch.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(scratch.path().join("tmp")).unwrap();
        std::fs::copy(installed("/bin/busybox", "busybox-static"), bin.join("busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let archive = crate::Scratch::new();
        let tar = archive.path().join("image.tar");
        let packed = Said::by(
            Command::new("tar")
                .arg("-C")
                .arg(scratch.path())
                .arg("-cf")
                .arg(&tar)
                .args(["bin", "tmp"]),
            "",
        );
        assert_eq!(packed.code, 0, "{}", packed.err);
        let tar = tar.display().to_string();
        self.run(&["import", "-c", "ENV PATH=/bin", "-c", "CMD [\"sh\"]", &tar, IMAGE]);
    }
}
