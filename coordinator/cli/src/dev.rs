//! `wharf dev`: a coordinator and some agents in this process, on the Docker engine of this machine.
//!
//! ```text
//!  data dir ─▶ coordinator ◀─ agents (dev-1, dev-2, …) ─▶ Docker
//!                  ▲
//!                  └─ the hello example, deployed and waited for
//! ```
//!
//! As anywhere else: the coordinator has an authority, agents join by tokens, and the context has a certificate.

mod detach;
mod example;
mod state;
mod trust;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::trust::transport::Dial;
use agent::runtime::{DEFAULT_SOCKET, Docker, Settings};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use coordinator::{Audit, Config, Coordinator, SOCKET};
use model::id::ClusterId;
use model::resources::Resources;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::context;
use crate::exit::{Exit, Failure};
use crate::output::Format;

/// The context that is written and selected.
const CONTEXT: &str = "dev";
/// The agents have so long to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The most nodes on one engine: each is a full agent.
const NODES_LIMIT: u32 = 50;

/// Starts a whole cluster on this machine, with an example that runs.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stops a cluster that runs in the background.
    Stop {
        /// Where its state is.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
pub(crate) struct Start {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_LIMIT)))]
    nodes: u32,
    /// Where the coordinator listens; port 0 is any free one.
    #[arg(long, env = "WHARF_LISTEN", default_value = "127.0.0.1:7421")]
    listen: SocketAddr,
    /// Where its state is kept while it runs.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Deploys nothing.
    #[arg(long)]
    no_example: bool,
    /// Leaves containers and state behind at the end; the next start finds them again.
    #[arg(long)]
    keep: bool,
    /// Goes on in the background; `wharf dev stop` ends it.
    #[arg(long)]
    detach: bool,
    /// Set by --detach for the process that goes on.
    #[arg(long, hide = true)]
    in_background: bool,
    /// The engine's socket.
    #[arg(long, env = "WHARF_DOCKER_SOCKET", default_value = DEFAULT_SOCKET)]
    docker_socket: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    if let Some(Command::Stop { data_dir }) = arguments.command {
        return detach::stop(&state::directory(data_dir)?).await;
    }
    let start = arguments.start;
    let directory = state::directory(start.data_dir.clone())?;
    if start.detach {
        return detach::start(&start, &directory).await;
    }
    foreground(start, directory).await
}

async fn foreground(start: Start, directory: PathBuf) -> anyhow::Result<Exit> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WHARF_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // First of all: without an engine nothing else is worth beginning.
    let docker = engine(&start, &"probe".parse()?).await?;
    let machine =
        docker.about().await.map_err(|fault| Failure::error(Exit::Error, fault.message, ""))?;
    let cluster = Cluster::start(&start, &directory, &machine).await?;
    let docker = engine(&start, &cluster.id).await?;
    let using = example::Use::begin();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let ready = tokio::select! {
        ready = cluster.present(&start, &docker) => ready,
        _ = tokio::signal::ctrl_c() => Err(Failure::error(Exit::Command(130), "interrupted", "")),
        _ = terminate.recv() => Err(Failure::error(Exit::Command(143), "terminated", "")),
    };
    if ready.is_ok() {
        state::announce(&directory, &cluster.address)?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
    cluster.stop().await?;
    if start.keep {
        println!("\nkept: containers go on, and `wharf dev --keep` finds them again");
    } else {
        println!("\nremoving containers, networks and state");
        let torn_down = match docker.teardown().await {
            Ok(()) => using.end(&docker).await,
            Err(fault) => Err(fault),
        };
        torn_down.map_err(|fault| {
            Failure::error(
                Exit::Error,
                fault.message,
                "start again with `wharf dev`, and stop it again",
            )
        })?;
        state::remove(&directory)?;
        context::remove(CONTEXT)?;
    }
    ready.map(|()| Exit::Done)
}

async fn engine(start: &Start, cluster: &ClusterId) -> anyhow::Result<Docker> {
    let settings = Settings {
        secrets: None,
        socket: start.docker_socket.clone(),
        cluster: cluster.clone(),
        node: "dev".parse()?,
        docker_config: docker_config(),
        prefer_local: true,
        gpus: Some(0),
        leases: None,
    };
    Docker::connect(&settings).await.map_err(|error| {
        Failure::error(
            Exit::Error,
            error.to_string(),
            "`wharf dev` runs its containers on the Docker engine of this machine",
        )
    })
}

fn docker_config() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    named.or(home).filter(|folder| folder.exists())
}

/// What runs in this process.
struct Cluster {
    id: ClusterId,
    address: String,
    client: Client,
    parts: Vec<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
}

impl Cluster {
    async fn start(
        start: &Start,
        directory: &Path,
        machine: &agent::runtime::Engine,
    ) -> anyhow::Result<Self> {
        let (data, security) = (directory.join("coordinator"), trust::security(directory)?);
        let (audit, cloud) = (Audit::default(), None);
        let reread = coordinator::REREAD;
        let config =
            Config { listen: start.listen, data: data.clone(), security, audit, cloud, reread };
        let coordinator = Coordinator::start(&config).await.map_err(|error| {
            let hint = "another `wharf dev` may be running: stop it, or choose --listen 127.0.0.1:0 and --data-dir";
            Failure::error(Exit::Error, format!("{error:#}"), hint)
        })?;
        let id = coordinator.cluster().clone();
        // On every address of the machine it is dialled on its own.
        let mut address = coordinator.address()?;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let address = address.to_string();
        let (stop, stopped) = oneshot::channel();
        let parts = vec![(stop, tokio::spawn(coordinator.serve(stopped)))];
        let administrator = Client::at(&Dial::Local { path: data.join(SOCKET) })?;
        let identity = trust::operator(&administrator).await?;
        let client = Client::at(&context::dial(address.clone(), Some(&identity))?)?;
        let mut cluster = Self { id, address, client, parts };
        for number in 1..=start.nodes {
            let (stop, stopped) = oneshot::channel();
            let config = cluster.agent(number, start, directory, machine).await?;
            cluster.parts.push((stop, tokio::spawn(agent::run(config, stopped))));
        }
        let addr = cluster.address.clone();
        let engine = Some(start.docker_socket.clone());
        context::put(CONTEXT, context::Context { addr, engine, identity: Some(identity) })?;
        Ok(cluster)
    }

    /// Each node has its share of the machine, and zones in turn.
    async fn agent(
        &self,
        number: u32,
        start: &Start,
        directory: &Path,
        machine: &agent::runtime::Engine,
    ) -> anyhow::Result<agent::Config> {
        let name = format!("dev-{number}");
        let share = Resources {
            cpu_millis: u64::from(machine.cpus) * 1_000 / u64::from(start.nodes),
            memory_bytes: machine.memory_bytes / u64::from(start.nodes),
            gpus: 0,
            disk_bytes: machine.disk_bytes / u64::from(start.nodes),
            pids: machine.pids / u64::from(start.nodes),
        };
        let zone = ["dev-a", "dev-b", "dev-c"][(number as usize - 1) % 3];
        Ok(agent::Config {
            coordinator: self.address.clone(),
            security: trust::join(&self.client, &name, zone).await?,
            state: directory.join(&name),
            socket: start.docker_socket.clone(),
            docker_config: docker_config(),
            node: Some(name.parse()?),
            zone: zone.to_owned(),
            origin: agent::Origin::default(),
            labels: std::collections::BTreeMap::new(),
            capacity: Some(share),
            // A device can not be shared, and all nodes are on one engine.
            gpus: Some(0),
            prefer_local: true,
            builder: false,
            // The machine is somebody's, and no instance.
            metadata_rules: None,
            notices: None,
            garbage: agent::Limits::default(),
            secrets: agent::Memory {
                directory: memory(&directory.join(&name)),
                owners: agent::Owners::AsFarAsPossible,
            },
        })
    }

    /// Waits for the nodes, deploys the example, and shows what there is.
    async fn present(&self, start: &Start, docker: &Docker) -> anyhow::Result<()> {
        println!("coordinator on {}", self.address);
        self.nodes_join(start.nodes).await?;
        println!("{} nodes joined", start.nodes);
        if !start.no_example {
            example::deploy(&self.client, docker).await?;
        }
        println!();
        let global = crate::args::Global {
            addr: None,
            context: None,
            why: None,
            plaintext: false,
            output: Format::Table,
            quiet: false,
            filters: Vec::new(),
        };
        crate::commands::show_nodes_and_tasks(&self.client, &global).await?;
        if !start.no_example {
            example::show_address(&self.client).await?;
        }
        println!(
            "\ntry:  wharf ps        wharf logs -f web        wharf scale web=5        wharf top"
        );
        println!("      wharf explain web                wharf deploy YOUR/compose.yaml");
        let way = if start.in_background { "`wharf dev stop`" } else { "Ctrl-C" };
        let rest = if start.keep { "keeps everything" } else { "leaves nothing behind" };
        println!("{way} ends it and {rest}.");
        Ok(())
    }

    async fn nodes_join(&self, wanted: u32) -> anyhow::Result<()> {
        let joined = async {
            loop {
                let nodes = self.client.nodes().await.unwrap_or_default();
                let has_capacity = |view: &proto::wire::NodeView| {
                    view.node
                        .as_ref()
                        .and_then(|node| node.capacity)
                        .is_some_and(|all| all.memory_bytes > 0)
                };
                let ready = nodes.iter().filter(|view| {
                    view.state() == proto::wire::NodeState::Ready && has_capacity(view)
                });
                if ready.count() >= wanted as usize {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let late = || {
            Failure::error(
                Exit::Error,
                "the agents did not join in time",
                "WHARF_LOG=info shows what they are doing",
            )
        };
        tokio::time::timeout(JOIN_TIMEOUT, joined).await.map_err(|_| late())
    }

    /// Agents first, so that none of them complains of a coordinator that is gone.
    async fn stop(self) -> anyhow::Result<()> {
        for (stop, running) in self.parts.into_iter().rev() {
            // Whoever waited may be gone already, which is what was asked for.
            let _gone = stop.send(());
            running.await.context("a part of the cluster was interrupted")??;
        }
        Ok(())
    }
}

/// Where the secrets of a node are: in memory, by a name of its own for each directory of state.
fn memory(state: &Path) -> PathBuf {
    let digest = ::trust::digest::sha256(state.as_os_str().as_encoded_bytes()).to_string();
    let name: String = digest.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    Path::new("/dev/shm").join(format!("wharf-dev-{name}"))
}
