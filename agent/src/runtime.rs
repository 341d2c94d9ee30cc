//! The container engine behind plain values: takes [`Action`]s, gives [`Outcome`]s and what it sees. Decides nothing.
//!
//! ```text
//!  Action ─▶ perform ─▶ launch | pull | change | probe ─▶ engine       events, list ─▶ Container
//! ```
//!
//! What is absent: restarts, retries and any opinion about what should run. Every request has a deadline, a container
//! without our labels is never touched, and "the engine could not be asked" is never mixed up with "it is not there".

mod ask;
mod build;
mod change;
mod connect;
mod container;
mod credentials;
mod demultiplex;
mod events;
mod exec;
mod files;
mod gpus;
mod image;
mod import;
mod label;
mod launch;
mod limit;
mod list;
mod logs;
mod network;
mod probe;
mod pull;
mod resolve;
mod store;
mod teardown;
mod trial;
pub mod usage;
mod volume;
mod wire;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use agent_core::action::{Action, Outcome};
use model::id::{ClusterId, NodeId};

pub use agent_core::action::Fault;
pub use build::BuildRequest;
pub use connect::{ConnectError, Engine};
pub use events::Happened;
pub use exec::{ExecFault, ExecInput, ExecOptions, ExecSession, TerminalSize};
pub use launch::Launched;
pub use logs::{LogOptions, Output};
pub use resolve::ResolveFault;
pub use store::{Shelf, StoredImage};
pub use trial::Tried;

/// Where the engine listens and whose containers these are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The engine's socket: [`DEFAULT_SOCKET`] unless the operator says otherwise.
    pub socket: PathBuf,
    /// Stamped on everything that is made; what carries another cluster is not ours.
    pub cluster: ClusterId,
    /// Stamped on containers: several agents may share one engine.
    pub node: NodeId,
    /// Docker's `config.json` with credentials for registries, or its folder; none means no credentials.
    pub docker_config: Option<PathBuf>,
    /// A tag that the engine has is not asked of its registry. For `wharf dev`, where images are built on the spot.
    pub prefer_local: bool,
    /// GPUs that containers can be given; those of the machine when there is none.
    pub gpus: Option<u64>,
    /// Below what each task that takes leases has a directory with its socket; none where no task runs.
    pub leases: Option<PathBuf>,
    /// Below what the secrets of each task are; none where no task runs.
    pub secrets: Option<PathBuf>,
}

/// Where Docker listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A connected engine. Clones share its limits.
#[derive(Debug, Clone)]
pub struct Docker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    client: bollard::Docker,
    wire: wire::Wire,
    api: Arc<connect::Api>,
    pulls: pull::Pulls,
    known_images: Mutex<image::KnownImages>,
    known_networks: Mutex<network::KnownNetworks>,
    /// What images are made of, by their ids.
    known_layers: Mutex<store::KnownLayers>,
    /// Volumes of projects that were there when a container was made.
    known_volumes: Mutex<BTreeSet<String>>,
    /// Whether there are other volumes than when they were listed last.
    has_news: AtomicBool,
    /// Held by who makes a network.
    networks: tokio::sync::Mutex<()>,
    /// Held by who chooses devices, until the container that has them is there.
    devices: tokio::sync::Mutex<()>,
}

impl Docker {
    /// Carries out one action within a time that is limited by its kind. Never panics; a deadline that passes is an
    /// unknown outcome.
    pub async fn perform(&self, action: &Action) -> Outcome {
        match action {
            Action::Pull { image } => Box::pin(self.pull(image)).await,
            Action::Launch(launch) => self.look_at(Box::pin(self.launch(launch)).await).await,
            Action::Stop { id, grace } => self.stop(id, *grace).await,
            Action::Kill { id } => self.kill(id).await,
            Action::Signal { id, signal } => self.signal(id, signal).await,
            Action::Unpause { id } => self.unpause(id).await,
            Action::Remove { id } => self.remove(id).await,
            Action::Probe { id, probe, timeout, .. } => self.probe(id, probe, *timeout).await,
        }
    }

    fn client(&self) -> &bollard::Docker {
        &self.shared.client
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}
