//! `wharf-coordinator`: reads its arguments and runs.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coordinator::{Config, Coordinator};
use proto::transport::{Listen, Security};
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
    let listen = Listen { address: arguments.listen, security: Security::default() };
    let coordinator = Coordinator::start(&Config { listen, data: arguments.data_dir }).await?;
    tracing::info!(address = %coordinator.address()?, cluster = %coordinator.cluster(), "ready");
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
