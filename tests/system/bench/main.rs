//! `wharf-bench`: what Wharf costs, against the raw limit measured in the same run.
//!
//! Each benchmark prints a table, and as its last line one JSON object. `cargo run --release --bin wharf-bench -- NAME`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that can not set up its world has failed, and its output is for people"
)]

mod containers;
mod deploy;
mod footprint;
mod packing;
mod placing;
mod process;
mod raw;
mod refresh;
mod result;
mod sessions;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Measures what Wharf costs.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Containers created, updated, removed and replaced, against the engine's own rate.
    Containers {
        /// How many.
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Memory and processor time of an idle agent and an idle coordinator.
    Footprint {
        /// Containers on the agent's node.
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// How long they are watched, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Agents that are connected and give signs of life: what each costs the coordinator.
    Sessions {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        count: u32,
        /// How long they stay, in seconds.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Tasks placed by the coordinator's core, and what everyday life costs in a full cluster.
    Placing {
        /// Also a million tasks: some gigabytes of memory.
        #[arg(long)]
        largest: bool,
    },
    /// How full nodes become before a task finds no room, and how many are needed, against other ways to choose a node.
    Packing {
        /// A folder with the files of a public trace: see CONTRIBUTING.md.
        #[arg(long)]
        trace: Option<PathBuf>,
    },
    /// How long a pool takes to be refreshed, against what its machines need to boot and to be emptied.
    Refresh {
        /// How many machines, with a task on each.
        #[arg(long, default_value_t = 100)]
        count: u32,
        /// How long a new machine boots, in seconds.
        #[arg(long, default_value_t = 60)]
        boot: u32,
    },
    /// From the acknowledgement of a change to the moment the agent is told.
    Deploy {
        /// How many changes.
        #[arg(long, default_value_t = 500)]
        count: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.bench {
        Bench::Placing { largest } => {
            check_build()?;
            return placing::run(*largest);
        }
        Bench::Packing { trace } => {
            check_build()?;
            return packing::run(trace.as_deref());
        }
        // Nearly all of it is waited for: any build will do.
        Bench::Refresh { count, boot } => {
            let profile: &[&str] =
                if cfg!(debug_assertions) { &["--bins"] } else { &["--release", "--bins"] };
            cargo(profile)?;
            return refresh::run(*count, *boot);
        }
        Bench::Containers { .. }
        | Bench::Footprint { .. }
        | Bench::Sessions { .. }
        | Bench::Deploy { .. } => {}
    }
    build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.bench {
            Bench::Containers { count } => containers::run(count).await,
            Bench::Footprint { count, seconds } => {
                build_packaged_agent()?;
                footprint::run(count, seconds)
            }
            Bench::Sessions { count, seconds } => sessions::run(count, seconds).await,
            Bench::Deploy { count } => deploy::run(count).await,
            Bench::Refresh { count, boot } => refresh::run(count, boot),
            Bench::Placing { largest } => placing::run(largest),
            Bench::Packing { trace } => packing::run(trace.as_deref()),
        }
    })
}

/// Cargo builds only this program by itself; what is measured has to be as new.
fn build() -> anyhow::Result<()> {
    check_build()?;
    cargo(&["--release", "--bins"])
}

fn check_build() -> anyhow::Result<()> {
    anyhow::ensure!(
        !cfg!(debug_assertions),
        "these numbers mean something only in a release build: cargo run --release --bin wharf-bench"
    );
    Ok(())
}

/// The agent as it is packaged: the first time takes some minutes.
fn build_packaged_agent() -> anyhow::Result<()> {
    cargo(&["--profile", "agent", "--bin", "wharf-agent"])
}

fn cargo(what: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--workspace", "--quiet"]).args(what).status();
    anyhow::ensure!(status.context("cargo can not be run")?.success(), "the programs do not build");
    Ok(())
}
