//! `wharf-agent`: reads its arguments and runs.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent::{
    AwsJoin, AwsProof, Config, DEFAULT_IMDS, Joining, Limits, Memory, Origin, Owners, Security,
    TokenSource, Wish, run,
};
use anyhow::Context;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use model::id::NodeId;
use model::resources::GPUS_LIMIT;
use model::trust::Fingerprint;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use trust::JoinToken;

/// Keeps the containers of this node running and reports what it sees.
#[derive(Debug, Parser)]
#[command(name = "wharf-agent", version)]
struct Arguments {
    /// The coordinator, HOST:PORT.
    #[arg(long, env = "WHARF_ADDR", default_value = "127.0.0.1:7421")]
    coordinator: String,
    /// Where the journal and the identity of this node are kept.
    #[arg(long, env = "WHARF_STATE_DIR", default_value = "/var/lib/wharf/agent")]
    state_dir: PathBuf,
    /// The engine's socket.
    #[arg(long, env = "WHARF_DOCKER_SOCKET", default_value = agent::runtime::DEFAULT_SOCKET)]
    docker_socket: PathBuf,
    /// Docker's config.json, for the credentials of registries.
    #[arg(long, env = "DOCKER_CONFIG")]
    docker_config: Option<PathBuf>,
    /// The name of this node; made up at the first start and kept when it is not given.
    #[arg(long, env = "WHARF_NODE")]
    node: Option<NodeId>,
    /// How this node joins. On EC2 it can show which instance it is, and is named by that: no secret has to be given to it.
    #[arg(long, env = "WHARF_JOIN", value_enum, default_value = "token")]
    join: Join,
    /// The digest of the cluster's authority, as `wharf token authority` shows it: with --join aws-sts or aws-iid nothing is
    /// shown to anybody else.
    #[arg(long, env = "WHARF_AUTHORITY", required_if_eq_any = [("join", "aws-sts"), ("join", "aws-iid")])]
    authority: Option<Fingerprint>,
    /// Where the metadata service of this instance is.
    #[arg(long, env = "WHARF_IMDS", default_value = DEFAULT_IMDS, hide = true)]
    imds: String,
    /// A file with the token by which this node joins, - for standard input; join-token in the state directory when it is
    /// not given. Once it has joined none is needed.
    #[arg(long, env = "WHARF_JOIN_TOKEN_FILE")]
    join_token_file: Option<PathBuf>,
    /// Neither encrypts nor shows who this is: for development and measuring, to a coordinator that does the same on this
    /// machine.
    #[arg(long, env = "WHARF_PLAINTEXT", conflicts_with = "join_token_file")]
    plaintext: bool,
    /// The failure domain of this node.
    #[arg(long, env = "WHARF_ZONE", default_value = "")]
    zone: String,
    /// The Auto Scaling group that launched this node. Only with --plaintext: otherwise the join token says it.
    #[arg(long, env = "WHARF_POOL", requires = "plaintext", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// The machine image that this node has booted.
    #[arg(long, env = "WHARF_AMI", value_parser = NonEmptyStringValueParser::new())]
    ami: Option<String>,
    /// What kind of machine this node is.
    #[arg(long, env = "WHARF_INSTANCE_TYPE", value_parser = NonEmptyStringValueParser::new())]
    instance_type: Option<String>,
    /// GPUs that tasks can be given; all that NVIDIA's driver lists when it is not given.
    #[arg(long, env = "WHARF_GPUS", value_parser = clap::value_parser!(u64).range(0..=GPUS_LIMIT))]
    gpus: Option<u64>,
    /// A label that constraints can ask for, KEY=VALUE. May be given several times. Only with --plaintext: otherwise the join
    /// token says them.
    #[arg(long = "label", value_parser = label, requires = "plaintext")]
    labels: Vec<(String, String)>,
    /// Looks for tags on the engine before it asks a registry.
    #[arg(long)]
    prefer_local_images: bool,
    /// From this share of the engine's disk on, in percent, images that this agent has fetched and that no task needs are
    /// removed.
    #[arg(long, env = "WHARF_IMAGE_GC_PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u64).range(0..=100))]
    image_gc_percent: u64,
    /// Images that were fetched less long ago stay, in seconds.
    #[arg(long, env = "WHARF_IMAGE_GC_AGE_SECONDS", default_value_t = 3_600)]
    image_gc_age_seconds: u64,
    /// Where the secrets of tasks are put: a directory in memory, which is this agent's alone.
    #[arg(long, env = "WHARF_SECRETS_DIR", default_value = agent::SECRETS_DIRECTORY)]
    secrets_dir: PathBuf,
    /// Whether rules of this machine keep containers from its instance metadata service. When it is not given there are some
    /// on machines that join by that service, and elsewhere nothing is looked at.
    #[arg(long, env = "WHARF_METADATA_FIREWALL", value_enum, value_name = "WHAT")]
    metadata_firewall: Option<MetadataFirewall>,
    /// Whether the metadata service of this instance is asked what it has to expect: that it is taken back, is at risk of that, is
    /// to be maintained, or is ended by its Auto Scaling group. Where there is no such service it is looked for now and then.
    #[arg(long, env = "WHARF_NOTICES", value_enum, value_name = "WHAT", default_value = "on")]
    notices: Notices,
    /// Is a machine that becomes an image, or tries one out: does what the coordinator says as root, and is no node. Only who
    /// launches a machine for a bake says so.
    #[arg(long, env = "WHARF_BUILDER", hide = true)]
    builder: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Join {
    /// By a token that an administrator has made for it.
    Token,
    /// By a call of AWS's token service that it has signed. Again by itself, whenever its certificate has ended.
    AwsSts,
    /// By its identity document, within five minutes of its launch and once.
    AwsIid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Notices {
    /// It is asked every five seconds.
    On,
    /// It is never asked.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MetadataFirewall {
    /// They are put, and put again when somebody takes them away.
    On,
    /// They are taken away.
    Off,
}

/// Whoever joins by the metadata service would be joined as by every container that reaches it.
fn metadata_rules(arguments: &Arguments) -> Option<Wish> {
    match (arguments.metadata_firewall, arguments.join) {
        (Some(MetadataFirewall::On), _) => Some(Wish::There),
        (Some(MetadataFirewall::Off), _) => Some(Wish::Gone),
        // A service of that kind at another address is a test's, whose machine is somebody's.
        (None, Join::AwsSts | Join::AwsIid) if arguments.imds == DEFAULT_IMDS => Some(Wish::There),
        (None, Join::AwsSts | Join::AwsIid | Join::Token) => None,
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label has the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The token in the environment. It is never an argument, which everybody on the machine could read.
const JOIN_TOKEN: &str = "WHARF_JOIN_TOKEN";

fn security(arguments: &Arguments) -> anyhow::Result<Security> {
    if arguments.plaintext {
        return Ok(Security::Plaintext);
    }
    let by = match arguments.join {
        Join::Token => None,
        Join::AwsSts => Some(AwsProof::Sts),
        Join::AwsIid => Some(AwsProof::Iid),
    };
    if let (Some(by), Some(authority)) = (by, arguments.authority) {
        let imds = arguments.imds.clone();
        return Ok(Security::Tls(Joining::Aws(AwsJoin { by, authority, imds })));
    }
    let given = match &arguments.join_token_file {
        Some(file) if file.as_os_str() == "-" => {
            let text = std::io::read_to_string(std::io::stdin());
            Some(text.context("the join token can not be read from standard input")?)
        }
        Some(_) => None,
        None => std::env::var(JOIN_TOKEN).ok().filter(|text| !text.is_empty()),
    };
    let given = given.map(|text| text.parse::<JoinToken>()).transpose()?;
    let file = arguments.join_token_file.clone().filter(|_| given.is_none());
    Ok(Security::Tls(Joining::Token(TokenSource { given, file })))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("WHARF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let security = security(&arguments)?;
    let metadata_rules = metadata_rules(&arguments);
    let notices = match arguments.notices {
        Notices::On => Some(arguments.imds.clone()),
        Notices::Off => None,
    };
    let labels: BTreeMap<String, String> = arguments.labels.into_iter().collect();
    let config = Config {
        coordinator: arguments.coordinator,
        security,
        state: arguments.state_dir,
        socket: arguments.docker_socket,
        docker_config: arguments.docker_config,
        node: arguments.node,
        zone: arguments.zone,
        origin: Origin {
            pool: arguments.pool,
            ami: arguments.ami,
            instance_type: arguments.instance_type,
        },
        labels,
        capacity: None,
        gpus: arguments.gpus,
        prefer_local: arguments.prefer_local_images,
        builder: arguments.builder,
        metadata_rules,
        notices,
        secrets: Memory { directory: arguments.secrets_dir, owners: Owners::AsAsked },
        garbage: Limits {
            disk_percent: arguments.image_gc_percent,
            youngest: Duration::from_secs(arguments.image_gc_age_seconds),
        },
    };
    // One thread is enough for one node, and half the memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")?.block_on(async {
        let (sender, stop) = tokio::sync::oneshot::channel();
        let mut terminate = signal(SignalKind::terminate())?;
        let running = run(config, stop);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => return ended,
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        // Whoever waited may be gone already, which is what was asked for.
        let _gone = sender.send(());
        running.await
    })
}
