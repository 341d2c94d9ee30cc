//! A machine of a bake: does what the coordinator says, step by step, as root, and shows all that it writes. It is no node.
//!
//! ```text
//!  session ─ BakeWork ─▶ run ─▶ work (a shell, files, the engine) ─▶ the log ─▶ session
//!                         └───────────── BakeReport ────────────────────────▶
//! ```
//!
//! Only who was started for it is one: an agent of a node does none of this, whoever asks. Its state is in memory, so that
//! nothing of it is in the image.

mod command;
mod scrub;
mod trial;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use model::id::{ClusterId, NodeId};
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::bake_report::Result as Came;
use proto::wire::coordinator_message::Message as Down;
use tokio::sync::{mpsc, oneshot};
use trust::transport::check_address;

use self::work::Worker;
use crate::credentials::Credentials;
use crate::report;
use crate::run::{Config, name};
use crate::session::{self, Link};

/// What was written is shown after at most this.
const SHOW: Duration = Duration::from_millis(300);
/// A piece of the log is no longer, in bytes.
const PIECE: usize = 64 << 10;
/// So often it says that it lives, though nobody concludes anything from its silence.
const QUEUE: usize = 256;

/// Runs until `stop` is told.
///
/// # Errors
/// When the state directory can not be used, or this is no machine that can be baked.
pub(crate) async fn run(config: Config, stop: oneshot::Receiver<()>) -> anyhow::Result<()> {
    check_address(&config.coordinator)?;
    // Steps are root's, and end with what they began: a machine without an init of this kind is somebody's workplace.
    anyhow::ensure!(
        Path::new("/run/systemd/system").exists() && rustix::process::geteuid().is_root(),
        "a builder is a machine with systemd, and its agent is root's: this is not one"
    );
    std::fs::create_dir_all(&config.state)
        .with_context(|| format!("can not make the state directory {}", config.state.display()))?;
    let machine = name(&config).await?;
    let reaching = (config.coordinator.as_str(), &config.security);
    let credentials = Credentials::load(&config.state, &machine, None, reaching);
    let (session_heard, session_incoming) = mpsc::channel(QUEUE);
    let hello = report::hello(&config, &machine, None, None);
    let linking = tokio::spawn(session::keep(credentials, move || hello.clone(), session_heard));
    let (done, worked) = mpsc::channel(QUEUE);
    let mut builder = Builder {
        log: config.state.join("log"),
        config,
        machine,
        cluster: None,
        link: None,
        shown: 0,
        done,
        current: Current::Nothing,
    };
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    tokio::select! {
        linked = linking => linked.context("the link was interrupted"),
        () = builder.turn(session_incoming, worked) => Ok(()),
        _ = stop => Ok(()),
    }
}

/// What it does, by the number under which it was told.
#[derive(Debug)]
enum Current {
    Nothing,
    Busy { number: u32, task: tokio::task::JoinHandle<()> },
    Done { number: u32, came: Came },
}

struct Builder {
    config: Config,
    machine: NodeId,
    cluster: Option<ClusterId>,
    link: Option<Link>,
    /// All that steps write.
    log: PathBuf,
    /// So much of it the coordinator was shown.
    shown: u64,
    done: mpsc::Sender<(u32, Came)>,
    current: Current,
}

impl Builder {
    async fn turn(
        &mut self,
        mut session: mpsc::Receiver<session::Heard>,
        mut worked: mpsc::Receiver<(u32, Came)>,
    ) {
        let mut show = tokio::time::interval(SHOW);
        loop {
            tokio::select! {
                Some(heard) = session.recv() => self.hear(heard),
                Some((number, came)) = worked.recv() => {
                    // What was written comes before what it came to.
                    self.show();
                    self.current = Current::Done { number, came };
                    self.report();
                }
                _ = show.tick() => self.show(),
            }
        }
    }

    fn hear(&mut self, heard: session::Heard) {
        match heard {
            session::Heard::Connected(link, _) => self.link = Some(link),
            session::Heard::Lost => self.link = None,
            session::Heard::Message(Down::Welcome(welcome)) => {
                self.cluster = welcome.cluster.parse().ok();
            }
            session::Heard::Message(Down::BakeWork(work)) => self.take(work),
            // What nodes are told.
            session::Heard::Message(
                Down::Assignments(_)
                | Down::Resolve(_)
                | Down::OpenRelay(_)
                | Down::RemoveOrphans(_)
                | Down::Fetch(_),
            ) => {}
        }
    }

    /// Begins with what it is told, unless it does that already, or has done it.
    fn take(&mut self, work: wire::BakeWork) {
        self.shown = work.log_bytes;
        match &self.current {
            Current::Busy { number, .. } if *number == work.number => return,
            Current::Done { number, .. } if *number == work.number => return self.report(),
            Current::Busy { task, .. } => task.abort(),
            Current::Nothing | Current::Done { .. } => {}
        }
        let (number, done) = (work.number, self.done.clone());
        let worker = Worker {
            log: self.log.clone(),
            socket: self.config.socket.clone(),
            docker_config: self.config.docker_config.clone(),
            cluster: self.cluster.clone(),
            machine: self.machine.clone(),
            scratch: self.config.state.clone(),
        };
        let marks = self.config.state.clone();
        let task = tokio::spawn(async move {
            let came = worker.perform(&work, &marks).await;
            // The loop is gone only when the agent is.
            drop(done.send((number, came)).await);
        });
        self.current = Current::Busy { number, task };
    }

    fn report(&mut self) {
        if let Current::Done { number, came } = &self.current {
            let report = wire::BakeReport { number: *number, result: Some(came.clone()) };
            self.say(Up::BakeReport(report));
        }
    }

    /// Shows what was written since.
    fn show(&mut self) {
        while self.link.is_some() {
            let data = match read_from(&self.log, self.shown) {
                Ok(data) if data.is_empty() => return,
                Ok(data) => data,
                Err(error) => return tracing::debug!(%error, "the log can not be read"),
            };
            let offset = self.shown;
            self.shown += u64::try_from(data.len()).unwrap_or_default();
            self.say(Up::BakeLog(wire::BakeLog { offset, data }));
        }
    }

    fn say(&mut self, message: Up) {
        if self.link.as_ref().is_some_and(|link| !link.say(message)) {
            self.link = None;
        }
    }
}

fn read_from(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut data = vec![0; PIECE];
    let read = file.read(&mut data)?;
    data.truncate(read);
    Ok(data)
}
