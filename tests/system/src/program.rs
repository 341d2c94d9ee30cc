//! One program of ours that runs, and what a command said.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::until;

/// A program that is told to stop has so long.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// The built program of that name.
///
/// # Panics
/// When it was not built: `cargo test --workspace` builds it.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built beside {}: run `cargo test --workspace`", test.display())
    })
}

/// A program of the system. When it is missing its package is installed, if we may; a service that comes with it is not
/// started. A machine that was never asked for packages has no list of them yet.
///
/// # Panics
/// When it is missing afterwards; it says what to install.
#[must_use]
pub fn installed(path: &str, package: &str) -> PathBuf {
    let path = PathBuf::from(path);
    let wait = ["-o", "DPkg::Lock::Timeout=120"];
    let install = ["install", "-y", "--no-install-recommends", package];
    let mut why = String::new();
    for arguments in [&install[..], &["update"], &install[..]] {
        if path.exists() {
            break;
        }
        let mut command = Command::new("apt-get");
        command.env("RUNLEVEL", "1").env("DEBIAN_FRONTEND", "noninteractive");
        why = Said::by(command.args(wait).args(arguments), "").err;
    }
    assert!(path.exists(), "these tests need {}: install {package} ({why})", path.display());
    path
}

/// A program of ours that runs until it is told otherwise.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; what it writes is appended to `log`.
    ///
    /// # Panics
    /// When it can not be started.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(process.expect("a child has a number"), signal).unwrap();
    }

    /// Says whether it has not ended yet.
    ///
    /// # Panics
    /// When that can not be known.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Tells it to stop and waits for that.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the program ends", STOP_TIMEOUT, || {
            child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a command said in the end.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it can not be started.
    #[must_use]
    pub fn by(command: &mut Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that does not read its input may be gone already.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Gives its output when it went well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    #[must_use]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Gives what it complained of when it ended with this code.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    #[must_use]
    pub fn bad(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }

    /// Reads its output as JSON.
    ///
    /// # Panics
    /// When it did not go well or is none.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> serde_json::Value {
        let text = self.good();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
