//! A region in a box: the AWS APIs that Wharf uses on a port of this machine, and a node for every instance.
//!
//! ```text
//!  Region ─▶ python -m region ─▶ wharf-agent, one for each instance
//!     ├─ api      calls, as anybody makes them
//!     ├─ pools    launch templates, groups, hooks and queues, made and looked at by such calls
//!     └─ control  faults, the clock, notices: what no API has
//! ```
//!
//! What the region can do, and how it differs from AWS, is said in `region/__init__.py` and `docs/region.md`.

mod api;
mod control;
mod http;
mod pools;
mod python;
mod traffic;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use api::{Refusal, Service, values};
pub use control::{Instance, Node, NodeOrder, ZoneOrder};
pub use pools::{Hook, Pool, Queue, Transition};
pub use python::by_hand;
pub use traffic::{BODY, Load, Outcome};

use crate::machine;
use crate::program::built;
use crate::{Docker, Said, Scratch, until};

/// It has imported much of Python when it listens, on a machine that does much else.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A region that is told to stop ends all of its nodes first.
const STOP_TIMEOUT: Duration = Duration::from_secs(150);

/// The name of the region.
pub const NAME: &str = "eu-west-1";

/// Its three zones that pools are in.
pub const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];

/// An image of Debian 13 for amd64.
pub const IMAGE: &str = "ami-d0000000000000003";

/// What is behind the instances of a region.
#[derive(Debug, Clone, Default)]
pub enum Machines {
    /// Nothing: instances run and end in name only.
    None,
    /// An agent as a process of this machine, on the engine that the tests use.
    #[default]
    Processes,
    /// The same on another engine.
    ProcessesOn(PathBuf),
    /// A Debian with systemd and an engine of its own, on which the agent is installed: a container, whose files are its image.
    Debian,
}

/// A region that is gone at the end, with all of its nodes and their containers.
#[derive(Debug)]
pub struct Region {
    scratch: Scratch,
    docker: Docker,
    socket: PathBuf,
    behind: Vec<OsString>,
    child: Child,
    endpoint: String,
    host: String,
}

impl Region {
    /// Starts one whose instances are processes, and waits until it answers.
    ///
    /// # Panics
    /// When it can not be started; it says what is missing.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&Machines::Processes)
    }

    /// Starts one with these machines.
    ///
    /// # Panics
    /// When it can not be started; it says what is missing.
    #[must_use]
    pub fn with(machines: &Machines) -> Self {
        let scratch = Scratch::new();
        let (docker, socket) = match machines {
            Machines::ProcessesOn(socket) => (Docker::at(socket.clone()), socket.clone()),
            Machines::None | Machines::Processes | Machines::Debian => {
                (Docker::default(), PathBuf::from("/var/run/docker.sock"))
            }
        };
        let behind = behind(machines, &docker);
        let mut command = python::region(scratch.path(), &socket);
        command.args(["--region", NAME, "--until-stdin-ends"]).args(&behind);
        let log = File::create(scratch.path().join("region.log")).unwrap();
        // It ends with whoever holds the other end of its input, even if that is killed.
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let (endpoint, host) = (String::new(), String::new());
        let mut region = Self { scratch, docker, socket, behind, child, endpoint, host };
        let said = region.announced();
        let text = |name: &str| said[name].as_str().expect("it says where").to_owned();
        region.endpoint = text("endpoint");
        let for_machines = text("machines_endpoint");
        let (_, host) = for_machines.split_once("//").expect("an endpoint is a URL");
        region.host = host.split(':').next().unwrap_or_default().to_owned();
        region
    }

    /// Waits until it says where it listens.
    fn announced(&mut self) -> Value {
        let file = self.scratch.path().join("region.json");
        let log = self.scratch.path().join("region.log");
        let child = &mut self.child;
        let text = until("the region listens", START_TIMEOUT, || {
            let ended = child.try_wait().unwrap();
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "the region has ended: {log}");
            fs::read_to_string(&file).map_err(|error| format!("{error}: {log}"))
        });
        serde_json::from_str(&text).unwrap()
    }

    /// Where all of its APIs are: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What an AWS SDK has to find in its environment to call this region and nothing else.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", NAME.to_owned()),
            ("AWS_DEFAULT_REGION", NAME.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "none-is-checked".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// The metadata service of an instance, as `AWS_EC2_METADATA_SERVICE_ENDPOINT` has it.
    #[must_use]
    pub fn metadata_endpoint(&self, instance: &str) -> String {
        format!("{}/imds/{instance}", self.endpoint)
    }

    /// The engine of its nodes.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The engine of a machine of its own.
    ///
    /// # Panics
    /// When the instance has no machine that runs.
    #[must_use]
    pub fn docker_of(&self, instance: &str) -> Docker {
        let node = self.nodes().into_iter().find(|node| node.instance == instance);
        let pid = node.and_then(|node| node.pid).expect("the machine runs");
        Docker::at(PathBuf::from(format!("/proc/{pid}/root/run/docker.sock")))
    }

    /// Runs a line of shell on a machine, as root.
    #[must_use]
    pub fn run_on(&self, instance: &str, line: &str) -> Said {
        self.docker.try_run(&["exec", &format!("wharf-{instance}"), "sh", "-c", line])
    }

    /// The address at which machines reach this one: what listens for them listens there.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its folder, with the logs of its nodes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written: what it could not do.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("region.log")).unwrap_or_default()
    }

    /// Ends it with SIGKILL, as a crash would: its nodes end with it, and their containers stay until somebody cleans up.
    ///
    /// # Panics
    /// When its end can not be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }

    /// Ends what a region has left that was killed.
    ///
    /// # Panics
    /// When that does not go well.
    pub fn clean(&self) {
        let mut command = python::region(self.scratch.path(), &self.socket);
        let _cleaned = Said::by(command.args(&self.behind).arg("--clean"), "").good();
    }

    /// Tells it to end, and waits for that.
    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if self.child.try_wait().unwrap().is_none() {
            // It may end at this moment.
            let _ended = kill_process(process.expect("a child has a number"), Signal::TERM);
        }
        let child = &mut self.child;
        until("the region ends", STOP_TIMEOUT, || {
            child.try_wait().unwrap().map(drop).ok_or_else(|| "it still runs".to_owned())
        });
    }
}

/// What the region is told about what is behind its instances.
fn behind(machines: &Machines, docker: &Docker) -> Vec<OsString> {
    match machines {
        Machines::None => Vec::new(),
        Machines::Processes | Machines::ProcessesOn(_) => {
            docker.need_image();
            vec!["--agent".into(), built("wharf-agent").into()]
        }
        Machines::Debian => {
            let (image, arguments) = (machine::image_with_agent(), machine::arguments());
            let image = format!("--machine-image={image}");
            let arguments = format!("--machine-arguments={arguments}");
            let begin = format!("--machine-init={}", machine::BEGIN);
            vec![image.into(), arguments.into(), begin.into()]
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the region\n{}", self.log());
            // Whatever else is wrong, nothing may be left behind.
            self.kill();
            self.clean();
        } else {
            self.stop();
        }
    }
}

/// Runs the tests of the region itself, which are Python's.
///
/// # Panics
/// When Python or what it needs can not be had; it says what is missing.
#[must_use]
pub fn own_tests() -> Said {
    let mut command = Command::new(python::program());
    command.args(["-m", "unittest", "discover", "-s", "region/tests", "-t", "."]);
    Said::by(python::placed(&mut command), "")
}
