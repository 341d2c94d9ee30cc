//! The cluster: hears, decides, writes, acts.
//!
//! ```text
//!  api ── Event ─▶ run ─▶ coordinator-core::step ─▶ store ─▶ published ─▶ sessions ─▶ agents
//!   └──────────── reads ────────────────────────────────────────┘
//! ```
//!
//! Everything but [`run`] only sends events and reads what is published.

mod api;
mod attest;
mod audit;
mod authority;
mod bake_logs;
mod clock;
mod fleet;
mod job_order;
mod ledgers;
mod published;
mod rates;
mod recorder;
mod run;
mod serve;
mod sessions;
pub mod store;
mod trusted;

pub use attest::{Aws, Instance, Instances, InstancesFile, Known, Question};
pub use audit::{Audit, FEWEST_RECORDS, RECORDS};
pub use authority::seal;
pub use serve::SOCKET;

pub use recorder::replay;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use cloud::Cloud;
use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::command::Command;
use coordinator_core::trust::Ledger;
use model::audit::Act;
use model::time::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tonic::Status;
use trust::transport::Plaintext;

use crate::attest::OfPools;
use crate::audit::{Log, Refusals, Watch};
use crate::authority::seal::Sealer;
use crate::bake_logs::BakeLogs;
use crate::clock::Clock;
use crate::fleet::Fleet;
use crate::ledgers::Ledgers;
use crate::published::Published;
use crate::rates::Limits;
use crate::recorder::Recorder;
use crate::run::Door;
use crate::sessions::Sessions;
use crate::store::sqlite::Sqlite;
use crate::store::{Identity, Store};
use crate::trusted::Trusted;

/// The certificate of a node holds for so long unless it is said otherwise.
pub const NODE_LIFE: Duration = Duration::from_secs(86_400);
/// The shortest life of a node's certificate: to renew takes a moment, and clocks differ.
pub const SHORTEST_NODE_LIFE: Duration = Duration::from_secs(10);
/// The longest: what was stolen is worth something for so long.
pub const LONGEST_NODE_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Values that AWS keeps are read again so often, unless it is said otherwise: Secrets Manager takes 5 cents for 10,000 readings, so that
/// to follow a secret for a month costs 4 cents.
pub const REREAD: Duration = Duration::from_secs(300);
/// So often it is looked whether agents have left in numbers.
const HEAP_LOOK: Duration = Duration::from_secs(5);
/// So many sessions are worth walking the heap for: some MiB.
const MANY_LEFT: usize = 100;

/// What a coordinator is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where agents and operators reach it. Port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the store is.
    pub data: PathBuf,
    /// What protects its connections.
    pub security: Security,
    /// The cloud whose groups are pools, if there is one.
    pub cloud: Option<Arc<dyn Cloud>>,
    /// How often values that the cloud keeps are read again.
    pub reread: Duration,
    /// How the record of who did what is kept.
    pub audit: Audit,
}

impl Config {
    /// Where there is a cloud, the machines of its pools are known to whoever lets machines in.
    fn know_machines(&mut self) -> Option<Arc<OfPools>> {
        let cloud = self.cloud.as_ref()?;
        let Security::Tls(Tls { aws: Some(aws), .. }) = &mut self.security else { return None };
        let machines = Arc::new(OfPools::new(Arc::clone(cloud), Arc::clone(&aws.instances)));
        aws.instances = Arc::clone(&machines) as Arc<dyn Instances>;
        Some(machines)
    }
}

/// What protects the connections of a coordinator.
#[derive(Debug, Clone)]
pub enum Security {
    /// TLS, and certificates of its own authority.
    Tls(Tls),
    /// Nothing, which is allowed on loopback only: whoever is on this machine may do everything.
    Plaintext,
}

/// What the authority needs.
#[derive(Debug, Clone)]
pub struct Tls {
    /// What its key is sealed with.
    pub sealer: Arc<dyn Sealer>,
    /// Hosts by which the coordinator is dialled, besides those of its listener and of this machine.
    pub names: Vec<String>,
    /// The certificate of a node holds for so long.
    pub node_life: Duration,
    /// Which machines of AWS are let in without a token.
    pub aws: Option<Aws>,
}

impl Tls {
    fn check(&self) -> anyhow::Result<()> {
        if let Some(wrong) = self.names.iter().find(|name| !trusted::is_host(name)) {
            anyhow::bail!("{wrong:?} is neither an IP address nor a DNS name");
        }
        anyhow::ensure!(
            (SHORTEST_NODE_LIFE..=LONGEST_NODE_LIFE).contains(&self.node_life),
            "the certificate of a node holds for {SHORTEST_NODE_LIFE:?} at least and {LONGEST_NODE_LIFE:?} at most"
        );
        Ok(())
    }
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
    pub(crate) ledgers: Arc<Ledgers>,
    /// None where nothing is protected.
    pub(crate) trusted: Option<Trusted>,
    /// None where there is no cloud.
    pub(crate) fleet: Option<Arc<Fleet>>,
    pub(crate) watch: Watch,
    pub(crate) bake_logs: BakeLogs,
    /// The number of the newest record of who did what.
    pub(crate) recorded: watch::Receiver<u64>,
    /// How often somebody asks for what costs us something.
    pub(crate) rates: Limits,
}

impl Shared {
    /// Everything is there: whoever faces the cloud may say who we are.
    fn begun(self) -> Arc<Self> {
        let shared = Arc::new(self);
        shared.fleet.iter().for_each(|fleet| fleet.begin(&shared));
        shared
    }

    /// What lets others in.
    ///
    /// # Errors
    /// When nothing is protected: then there is no authority.
    pub(crate) fn trusted(&self) -> Result<&Trusted, Status> {
        let why =
            "this coordinator listens without encryption, and lets in whoever is on its machine";
        self.trusted.as_ref().ok_or_else(|| Status::failed_precondition(why))
    }
}

/// A coordinator that has its store and its port, and answers once it runs.
#[derive(Debug)]
pub struct Coordinator {
    listener: TcpListener,
    data: PathBuf,
    /// The file of who did what, and up to where it has come.
    export: Option<(PathBuf, Arc<AtomicU64>)>,
    shared: Arc<Shared>,
    turning: std::thread::JoinHandle<()>,
    /// Tells when the loop has ended, however it did.
    ended: oneshot::Receiver<()>,
    /// What the cloud is to be asked.
    wanted: watch::Receiver<Vec<Command>>,
}

impl Coordinator {
    /// Takes the store and the port.
    ///
    /// # Errors
    /// When either is not to be had.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let address = config.listen;
        match &config.security {
            Security::Plaintext => drop(Plaintext::on(address)?),
            Security::Tls(tls) => tls.check()?,
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("can not listen on {address}"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let export = config.audit.file.clone().map(|file| (file, Arc::default()));
        let exported = export.as_ref().map(|(_, exported)| Arc::clone(exported));
        let mut config = config.clone();
        let machines = config.know_machines();
        let opening = config.clone();
        let opened = tokio::task::spawn_blocking(move || open(&opening, address, exported));
        let opened = opened.await.context("opening the store was interrupted")??;
        let Opened { store, stored, ledger, trusted, log, alarms } = opened;
        let clock = Clock::start();
        let cluster = rebuilt(&stored, store.max_changes(), clock.now());
        let (identity, described) = (store.identity().clone(), store.describe());
        let published = Arc::new(Published::new(cluster.clone()));
        machines.iter().for_each(|machines| machines.begin(&published));
        let sessions = Arc::new(Sessions::default());
        let ledgers = Arc::new(Ledgers::new(ledger));
        let (commands, wanted) = watch::channel(Vec::new());
        let (refusals, recorded) = (Arc::<Refusals>::default(), log.follow());
        let (door, turning) = run::new(run::Parts {
            commands,
            cluster,
            store: Box::new(store),
            published: Arc::clone(&published),
            sessions: Arc::clone(&sessions),
            clock,
            recorder: Recorder::new(&config.data, identity.clone()),
            ledgers: Arc::clone(&ledgers),
            log,
            refusals: Arc::clone(&refusals),
        });
        alarms.into_iter().for_each(|act| door.tell_act(act));
        let (turns, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("run".to_owned());
        let turning = thread.spawn(move || {
            // Dropped at the end, by a panic too.
            let _turns = turns;
            turning.run();
        });
        let turning = turning.context("can not start a thread")?;
        let fleet = config.cloud.as_ref().map(|cloud| {
            let (cloud, door, published) =
                (Arc::clone(cloud), door.clone(), Arc::clone(&published));
            Arc::new(Fleet::new(cloud, door, published, (clock, config.reread)))
        });
        let watch = Watch { refusals, door: door.clone() };
        let shared = Shared {
            door,
            published,
            sessions,
            identity,
            store: described,
            clock,
            ledgers,
            trusted,
            fleet,
            watch,
            bake_logs: BakeLogs::new(&config.data),
            recorded,
            rates: Limits::default(),
        };
        let (data, shared) = (config.data, shared.begun());
        Ok(Self { listener, data, export, shared, turning, ended, wanted })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
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
        let Self { listener, data, export, shared, turning, ended, wanted } = self;
        let sessions = Arc::clone(&shared);
        let stopped = async move {
            // A sender that is gone asks for the same.
            drop(stop.await);
            sessions.sessions.close_all();
        };
        let served = serve::serve(Arc::clone(&shared), listener, &data);
        // Streams that follow something never end by themselves: they are cut.
        let served = tokio::select! {
            served = served => served,
            () = stopped => Ok(()),
            () = give_memory_back(&shared.sessions) => Ok(()),
            () = face_cloud(shared.fleet.clone(), wanted) => Ok(()),
            () = write_file(export, &shared) => Ok(()),
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

/// Deals with the cloud, if there is one. Never ends.
async fn face_cloud(fleet: Option<Arc<Fleet>>, wanted: watch::Receiver<Vec<Command>>) {
    match fleet {
        Some(fleet) => fleet.run(wanted).await,
        None => std::future::pending().await,
    }
}

/// The cluster as it was stored.
fn rebuilt(stored: &[Change], max_changes: usize, now: Timestamp) -> Cluster {
    let mut cluster = Cluster::load(stored, now);
    cluster.bound(max_changes);
    for alarm in coordinator_core::invariant::check(&cluster) {
        tracing::error!(alarm, "the store breaks an invariant");
    }
    cluster
}

/// What was found in the store, and what opens with it.
struct Opened {
    store: Sqlite,
    stored: Vec<Change>,
    ledger: Ledger,
    trusted: Option<Trusted>,
    log: Log,
    /// What is wrong with the record at first sight.
    alarms: Vec<Act>,
}

fn open(
    config: &Config,
    address: SocketAddr,
    exported: Option<Arc<AtomicU64>>,
) -> anyhow::Result<Opened> {
    let mut store = Sqlite::open(&config.data)?;
    let (stored, ledger) = (store.load()?, Ledger::load(&store.load_trust()?));
    let trusted = match &config.security {
        Security::Plaintext => None,
        Security::Tls(tls) => Some(Trusted::open(&mut store, tls, address)?),
    };
    let sealing = trusted.as_ref().map(|trusted| trusted.authority.sealing());
    let records = config.audit.records.max(FEWEST_RECORDS);
    let (log, alarms) = Log::open(&mut store, sealing, (records, exported))?;
    Ok(Opened { store, stored, ledger, trusted, log, alarms })
}

/// Writes what is done to a file as well. Never ends where there is none.
async fn write_file(export: Option<(PathBuf, Arc<AtomicU64>)>, shared: &Shared) {
    match export {
        Some((path, exported)) => {
            audit::export(&path, shared.door.clone(), shared.recorded.clone(), exported).await;
        }
        None => std::future::pending().await,
    }
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
