//! Arguments of commands about pools.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::some_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// Has the machines of an Auto Scaling group as nodes: it waits for us before one counts, and before one ends.
    #[command(
        after_help = "Examples:\n  wharf pool add web --plan\n  wharf pool add web --drain-within 30m --grow"
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
    /// Leaves a group to itself. Its nodes stay nodes, and what runs there goes on.
    Rm {
        /// The name of the group.
        pool: String,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
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
    /// Asks for more machines when tasks find no room, up to the greatest size of the group.
    #[arg(long, overrides_with = "no_grow")]
    pub(crate) grow: bool,
    /// Asks for none.
    #[arg(long)]
    pub(crate) no_grow: bool,
    /// Shows what would be changed in the cloud and changes nothing; exit code 2 when there is something to do.
    #[arg(long)]
    pub(crate) plan: bool,
}
