//! The cluster: hears, decides, writes, acts.
//!
//! ```text
//!  api ── Event ─▶ run ─▶ coordinator-core::step ─▶ store ─▶ published ─▶ sessions ─▶ agents
//!   └──────────── reads ────────────────────────────────────────┘
//! ```
//!
//! Everything but [`run`] only sends events and reads what is published.

mod api;
mod clock;
mod job_order;
mod published;
mod recorder;
mod run;
mod sessions;
pub mod store;

pub use recorder::replay;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use coordinator_core::cluster::Cluster;
use proto::transport::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, Listen};
use proto::wire::control_server::ControlServer;
use proto::wire::dispatcher_server::DispatcherServer;
use proto::{DESCRIPTORS, MESSAGE_LIMIT};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::api::control::Control;
use crate::api::dispatcher::Dispatcher;
use crate::clock::Clock;
use crate::published::Published;
use crate::recorder::Recorder;
use crate::run::Door;
use crate::sessions::Sessions;
use crate::store::sqlite::Sqlite;
use crate::store::{Identity, Store};

/// So often it is looked whether agents have left in numbers.
const HEAP_LOOK: std::time::Duration = std::time::Duration::from_secs(5);
/// So many sessions are worth walking the heap for: some MiB.
const MANY_LEFT: usize = 100;

/// What a coordinator is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where agents and operators reach it. Port 0 is any free one.
    pub listen: Listen,
    /// Where the store is.
    pub data: PathBuf,
}

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
    pub(crate) published: Arc<Published>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) identity: Identity,
    pub(crate) store: String,
    pub(crate) clock: Clock,
}

/// A coordinator that has its store and its port, and answers once it runs.
#[derive(Debug)]
pub struct Coordinator {
    listener: TcpListener,
    shared: Arc<Shared>,
    turning: std::thread::JoinHandle<()>,
    /// Tells when the loop has ended, however it did.
    ended: oneshot::Receiver<()>,
}

impl Coordinator {
    /// Takes the store and the port.
    ///
    /// # Errors
    /// When either is not to be had.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.listen.check()?;
        let address = config.listen.address;
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("can not listen on {address}"))?;
        let data = config.data.clone();
        let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut store = Sqlite::open(&data)?;
            let stored = store.load()?;
            Ok((store, stored))
        });
        let (store, stored) = opened.await.context("opening the store was interrupted")??;
        let clock = Clock::start();
        let mut cluster = Cluster::load(&stored, clock.now());
        cluster.bound(store.max_changes());
        let broken = coordinator_core::invariant::check(&cluster);
        for alarm in broken {
            tracing::error!(alarm, "the store breaks an invariant");
        }
        let (identity, described) = (store.identity().clone(), store.describe());
        let published = Arc::new(Published::new(cluster.clone()));
        let sessions = Arc::new(Sessions::default());
        let (door, turning) = run::new(run::Parts {
            cluster,
            store: Box::new(store),
            published: Arc::clone(&published),
            sessions: Arc::clone(&sessions),
            clock,
            recorder: Recorder::new(&config.data, identity.clone()),
        });
        let (turns, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("run".to_owned());
        let turning = thread.spawn(move || {
            // Dropped at the end, by a panic too.
            let _turns = turns;
            turning.run();
        });
        let turning = turning.context("can not start a thread")?;
        let shared = Shared { door, published, sessions, identity, store: described, clock };
        Ok(Self { listener, shared: Arc::new(shared), turning, ended })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> anyhow::Result<std::net::SocketAddr> {
        self.listener.local_addr().context("the listener has no address")
    }

    /// The name of its cluster.
    #[must_use]
    pub fn cluster(&self) -> &model::id::ClusterId {
        &self.shared.identity.cluster
    }

    /// Answers until it is told to stop; what was heard by then is committed.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve(self, stop: oneshot::Receiver<()>) -> anyhow::Result<()> {
        let Self { listener, shared, turning, ended } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<ControlServer<Control>>().await;
        health.set_serving::<DispatcherServer<Dispatcher>>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .build_v1()
            .context("the descriptors are not sound")?;
        let control = ControlServer::new(Control { shared: Arc::clone(&shared) })
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let dispatcher = DispatcherServer::new(Dispatcher { shared: Arc::clone(&shared) })
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let sessions = Arc::clone(&shared);
        let stopped = async move {
            // A sender that is gone asks for the same.
            drop(stop.await);
            sessions.sessions.close_all();
        };
        let served = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(health_service)
            .add_service(reflection)
            .add_service(control)
            .add_service(dispatcher)
            .serve_with_incoming(TcpListenerStream::new(listener).map(at_once));
        // Streams that follow something never end by themselves: they are cut.
        let served = tokio::select! {
            served = served => served.context("the server failed"),
            () = stopped => Ok(()),
            () = give_memory_back(&shared.sessions) => Ok(()),
            // Without its loop it would answer and do nothing: it is better started again.
            _ = ended => Ok(()),
        };
        shared.door.stop();
        let joined = tokio::task::spawn_blocking(move || turning.join()).await;
        served?;
        joined
            .context("the loop was interrupted")?
            .map_err(|_| anyhow::anyhow!("the loop panicked"))
    }
}

/// Has what is written sent at once. Otherwise the system holds a small message back until the one before is
/// acknowledged, which the other side does 40 ms later: an agent would be told everything so much too late.
fn at_once(accepted: std::io::Result<TcpStream>) -> std::io::Result<TcpStream> {
    let stream = accepted?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection sends when it likes");
    }
    Ok(stream)
}

/// Looks for agents that have left in numbers, and gives back to the system what they held. Never ends.
async fn give_memory_back(sessions: &Sessions) {
    let mut looking = tokio::time::interval(HEAP_LOOK);
    loop {
        looking.tick().await;
        if sessions.take_left() >= MANY_LEFT {
            // It is cancelled only with the program.
            drop(tokio::task::spawn_blocking(heap::give_back).await);
        }
    }
}
