//! `wharf-coordinator`: reads its arguments and runs.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use cloud::Cloud;
use coordinator::seal::{CREDENTIAL, Credential, Passphrase, Sealer};
use coordinator::{
    Audit, Aws, Config, Coordinator, FEWEST_RECORDS, NODE_LIFE, RECORDS, REREAD, SOCKET, Security,
    Tls,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Decides what runs where, and writes it down.
#[derive(Debug, Parser)]
#[command(name = "wharf-coordinator", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where agents and operators reach it.
    #[arg(long, env = "WHARF_LISTEN", default_value = "127.0.0.1:7421")]
    listen: SocketAddr,
    /// Where its store is.
    #[arg(long, env = "WHARF_DATA_DIR", default_value = "/var/lib/wharf/coordinator")]
    data_dir: PathBuf,
    /// A host by which agents and operators dial it, a name or an IP address, besides that of --listen. May be given several
    /// times.
    #[arg(long = "name", env = "WHARF_NAMES", value_delimiter = ',')]
    names: Vec<String>,
    /// A file with the passphrase that seals the key of the cluster's authority; not needed where systemd hands over a
    /// secret.
    #[arg(long, env = "WHARF_CA_PASSPHRASE_FILE")]
    ca_passphrase_file: Option<PathBuf>,
    /// The certificate of a node holds for so long, in seconds.
    #[arg(long, env = "WHARF_NODE_CERTIFICATE_SECONDS", default_value_t = NODE_LIFE.as_secs())]
    node_certificate_seconds: u64,
    /// A file that says which machines of AWS are let in without a token: see docs/aws.md.
    #[arg(long, env = "WHARF_AWS_JOIN_FILE")]
    aws_join: Option<PathBuf>,
    /// So many records of who did what stay in the store; `wharf audit` shows them.
    #[arg(long, env = "WHARF_AUDIT_RECORDS", default_value_t = RECORDS, value_parser = clap::value_parser!(u64).range(FEWEST_RECORDS..))]
    audit_records: u64,
    /// A file that every record of who did what is appended to, a line of JSON each; nothing in it is ever given up.
    #[arg(long, env = "WHARF_AUDIT_FILE")]
    audit_file: Option<PathBuf>,
    /// Neither encrypts nor asks who anybody is: for development and measuring, on the loopback address only.
    #[arg(long, env = "WHARF_PLAINTEXT", conflicts_with_all = ["names", "ca_passphrase_file", "aws_join"])]
    plaintext: bool,
    /// Manages Auto Scaling groups, with the credentials that the AWS tools of this machine would use.
    #[arg(long, env = "WHARF_AWS")]
    aws: bool,
    /// The AWS region; that of the environment or of this machine when it is not given.
    #[arg(long, env = "WHARF_AWS_REGION", requires = "aws")]
    aws_region: Option<String>,
    /// The URL of the SQS queue that EventBridge tells about lifecycle hooks and Spot interruptions. Without one the groups are
    /// looked at every half minute.
    #[arg(long, env = "WHARF_AWS_QUEUE", requires = "aws")]
    aws_queue: Option<String>,
    /// Values of Parameter Store and Secrets Manager that services name are read again so often, in seconds.
    #[arg(long, env = "WHARF_SECRETS_REREAD_SECONDS", default_value_t = REREAD.as_secs(), value_parser = clap::value_parser!(u64).range(5..=86_400))]
    secrets_reread_seconds: u64,
}

impl Arguments {
    fn security(&self) -> anyhow::Result<Security> {
        if self.plaintext {
            return Ok(Security::Plaintext);
        }
        let sealer: Arc<dyn Sealer> = match (&self.ca_passphrase_file, Credential::handed_over()) {
            (Some(file), _) => Arc::new(Passphrase { file: file.clone() }),
            (None, Some(credential)) => Arc::new(credential),
            (None, None) => anyhow::bail!(
                "there is no secret to seal the key of the cluster's authority with\nhint: let systemd hand one over (LoadCredential={CREDENTIAL}:FILE), or give --ca-passphrase-file; see docs/install.md"
            ),
        };
        let node_life = Duration::from_secs(self.node_certificate_seconds);
        let aws = self.aws_join.as_deref().map(Aws::load).transpose()?;
        Ok(Security::Tls(Tls { sealer, names: self.names.clone(), node_life, aws }))
    }
}

impl Arguments {
    async fn cloud(&self) -> anyhow::Result<Option<Arc<dyn Cloud>>> {
        if !self.aws {
            return Ok(None);
        }
        #[cfg(not(feature = "aws"))]
        anyhow::bail!("this build knows no cloud: it was made without the feature `aws`");
        #[cfg(feature = "aws")]
        self.aws().await.map(Some)
    }

    #[cfg(feature = "aws")]
    async fn aws(&self) -> anyhow::Result<Arc<dyn Cloud>> {
        let settings =
            cloud::Settings { region: self.aws_region.clone(), queue: self.aws_queue.clone() };
        let aws = cloud::Aws::connect(&settings).await.map_err(anyhow::Error::msg)?;
        Ok(Arc::new(aws))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a file of the flight recorder (`flight` in the data directory), decides everything again, and prints what was
    /// heard and decided. Needs no store and changes nothing.
    Replay {
        /// The file.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("WHARF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if let Some(Command::Replay { file }) = &arguments.command {
        return ended(coordinator::replay(file, &mut std::io::stdout().lock()).map(drop));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    ended(runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(arguments))))
}

fn ended(ran: anyhow::Result<()>) -> ExitCode {
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let security = arguments.security()?;
    if matches!(security, Security::Plaintext) {
        tracing::warn!("nothing is encrypted, and whoever is on this machine may do everything");
    }
    let socket = arguments.data_dir.join(SOCKET);
    let cloud = arguments.cloud().await?;
    let audit = Audit { records: arguments.audit_records, file: arguments.audit_file };
    let config = Config {
        listen: arguments.listen,
        data: arguments.data_dir,
        security,
        cloud,
        reread: Duration::from_secs(arguments.secrets_reread_seconds),
        audit,
    };
    let coordinator = Coordinator::start(&config).await?;
    let (address, cluster) = (coordinator.address()?, coordinator.cluster());
    tracing::info!(%address, %cluster, administrators = %socket.display(), "ready");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    let (sender, stop) = tokio::sync::oneshot::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let serving = tokio::spawn(coordinator.serve(stop));
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    // When the server has ended by itself nobody waits.
    // Whoever waited may be gone already, which is what was asked for.
    let _gone = sender.send(());
    serving.await?
}
