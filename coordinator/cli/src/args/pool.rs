//! Arguments of commands about pools.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::some_duration;
use model::schedule::{Window, WindowError};

use crate::compose::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// Has the machines of an Auto Scaling group as nodes: it waits for us before one counts, and before one ends.
    #[command(
        after_help = "Examples:\n  wharf pool add web --plan\n  wharf pool add web --drain-within 30m --scale both --headroom 2x0.5,512m"
    )]
    Add(Put),
    /// Changes how the machines of a pool come and go.
    Set(Put),
    /// Lists pools.
    Ls,
    /// Shows everything about a pool: its group, its machines, and what it waits for.
    Inspect {
        /// The name of the group.
        pool: String,
    },
    /// Shows which machines of a pool could be done without, which tasks would move, and what keeps the others.
    Plan {
        /// The name of the group.
        pool: String,
    },
    /// Leaves a group to itself. Its nodes stay nodes, and what runs there goes on.
    Rm {
        /// The name of the group.
        pool: String,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Which sizes of a pool are ours to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    Off,
    Out,
    In,
    Both,
}

/// How much containers may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Default,
    Strict,
}

impl From<Profile> for proto::wire::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::Default,
            Profile::Strict => Self::Strict,
        }
    }
}

/// What is done with a machine of which EC2 warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precaution {
    Drain,
    Close,
    Ignore,
}

impl From<Precaution> for proto::wire::Precaution {
    fn from(precaution: Precaution) -> Self {
        match precaution {
            Precaution::Drain => Self::Drain,
            Precaution::Close => Self::Close,
            Precaution::Ignore => Self::Ignore,
        }
    }
}

/// What is done with a machine whose agent is silent for long, though EC2 says that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unreachable {
    Keep,
    End,
    EndProtected,
}

impl From<Unreachable> for proto::wire::Unreachable {
    fn from(unreachable: Unreachable) -> Self {
        match unreachable {
            Unreachable::Keep => Self::Keep,
            Unreachable::End => Self::End,
            Unreachable::EndProtected => Self::EndProtected,
        }
    }
}

/// `2x0.5,512m` is room for two tasks of half a core and 512 MiB each.
fn headroom(text: &str) -> Result<proto::wire::Headroom, String> {
    if text == "0" {
        return Ok(proto::wire::Headroom::default());
    }
    let wrong = || format!("{text:?} is not COUNTxCPUS,MEMORY, as in 2x0.5,512m");
    let (count, each) = text.split_once('x').ok_or_else(wrong)?;
    let (cpus, memory) = each.split_once(',').unwrap_or((each, "0"));
    let count = count.parse().map_err(|_| wrong())?;
    let cpu_millis = quantity::millicores(cpus).map_err(|_| wrong())?;
    let memory_bytes = quantity::bytes(memory).map_err(|_| wrong())?;
    let each = Some(proto::wire::Resources {
        cpu_millis,
        memory_bytes,
        ..proto::wire::Resources::default()
    });
    Ok(proto::wire::Headroom { count, each })
}

/// A maintenance window, or none at all.
fn window(text: &str) -> Result<Option<Window>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: WindowError| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The name of the group.
    pub(crate) pool: String,
    /// A machine that is to end waits for so long for what the services on it do not allow: 90s, 15m, 2h. 15m when it is never
    /// said.
    #[arg(long, value_parser = some_duration)]
    pub(crate) drain_within: Option<Duration>,
    /// A new machine is given back when it has not become a node by then: 5m, 10m. 10m when it is never said.
    #[arg(long, value_parser = some_duration)]
    pub(crate) join_within: Option<Duration>,
    /// Which sizes are ours to choose: `out` asks for machines when tasks find no room, `in` empties and ends machines that
    /// nothing needs, `both` does both, `off` leaves the size to others. Off when it is never said.
    #[arg(long, value_enum)]
    pub(crate) scale: Option<Scale>,
    /// Is made no smaller than this by us; a pool that is scaled out is made as large.
    #[arg(long, value_name = "MACHINES")]
    pub(crate) min: Option<u32>,
    /// Is made no larger than this by us; 0 for as large as its group may be.
    #[arg(long, value_name = "MACHINES")]
    pub(crate) max: Option<u32>,
    /// Room that stays free, for so many tasks of so many cores and so much memory: 2x0.5,512m. 0 for none.
    #[arg(long, value_name = "COUNTxCPUS,MEMORY", value_parser = headroom)]
    pub(crate) headroom: Option<proto::wire::Headroom>,
    /// A machine is emptied when nothing has needed it for so long: 5m, 1h. 10m when it is never said.
    #[arg(long, value_name = "DURATION", value_parser = some_duration)]
    pub(crate) scale_in_after: Option<Duration>,
    /// What its machines take: `strict` gives new tasks there to no service that is not, and stops none. Default when it is never said.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<Profile>,
    /// What is done with a machine that EC2 recommends to leave, or will stop or restart for maintenance: `drain` empties it as
    /// far as its services allow, `close` gives it no new tasks, `ignore` does nothing. Drain when it is never said.
    #[arg(long, value_enum)]
    pub(crate) at_risk: Option<Precaution>,
    /// What is done with a machine whose agent is silent for long, though EC2 says that it runs: `keep` waits for it, `end` has its
    /// group put another in its place, `end-protected` also if it is protected from scale-in. Keep when it is never said.
    #[arg(long, value_enum)]
    pub(crate) unreachable: Option<Unreachable>,
    /// A machine has been silent for so long when it is ended for that: 2m or longer. 10m when it is never said.
    #[arg(long, value_name = "DURATION", value_parser = some_duration)]
    pub(crate) unreachable_after: Option<Duration>,
    /// Its machines are replaced only then: "mon-fri 02:00-05:00 Europe/Berlin", "22:00-04:00 UTC". Can be said several times;
    /// `none` for at all times, which is so when it is never said.
    #[arg(long, value_parser = window)]
    pub(crate) window: Vec<Option<Window>>,
    /// Shows what would be changed in the cloud and changes nothing; exit code 2 when there is something to do.
    #[arg(long)]
    pub(crate) plan: bool,
}
