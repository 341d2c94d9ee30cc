//! Arguments of commands about the machine images that run.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use model::budget::Amount;
use model::refresh::{Mode, Stage};

use super::{duration, some_duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Refresh {
    /// Shows what a refresh would do: which machine after which, where each task would go, and how long it takes.
    #[command(
        after_help = "Examples:\n  wharf refresh plan web --ami ami-0123456789abcdef0\n  wharf refresh plan web --template lt-0123456789abcdef0=7 --surge 20%"
    )]
    Plan(Start),
    /// Replaces the machines of a pool, each one once what runs there has moved.
    #[command(
        after_help = "Examples:\n  wharf refresh start web --ami ami-0123456789abcdef0\n  wharf refresh start web --ami ami-0123456789abcdef0 --stage 1 --stage 25% --hold 10m\n  wharf refresh start pets --ami ami-0123456789abcdef0 --mode in-place\n  wharf refresh start staging web batch --ami ami-0123456789abcdef0"
    )]
    Start(Begin),
    /// Shows how far the refresh of a pool is, and follows it until it is over.
    Status {
        #[command(flatten)]
        pool: Named,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Has it stand still: no machine is emptied or launched that was not before.
    Pause(Named),
    /// Has it go on.
    Resume(Named),
    /// Has the new machines been watched for long enough.
    Promote(Named),
    /// Ends it where it is: what is launched from now on is as before.
    Abort(Named),
    /// Has it wait for no window of its pool, no end of a freeze and no refresh that comes before it.
    Override {
        #[command(flatten)]
        pool: Named,
        /// Why: that is told with it, and kept on the record.
        #[arg(value_name = "REASON")]
        why: String,
    },
    /// Has no machine of any pool replaced until it is unfrozen. What was begun is finished, what leads back goes on, and so does
    /// what has a reason to (--override).
    #[command(
        after_help = "Examples:\n  wharf refresh freeze \"the summer sale\" --for 72h\n  wharf refresh freeze \"the summer sale\" --until 2027-07-02T06:00:00+02:00"
    )]
    Freeze {
        /// Why: that is told by whatever waits, and kept on the record.
        #[arg(value_name = "REASON")]
        why: String,
        /// Ends by itself after so long: 72h.
        #[arg(long = "for", value_name = "TIME", value_parser = some_duration)]
        lasting: Option<Duration>,
        /// Ends by itself at this time: 2027-07-02T06:00:00Z.
        #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
        until: Option<jiff::Timestamp>,
    },
    /// Has machines replaced again.
    Unfreeze,
    /// Has the machines be as they were before.
    Rollback {
        #[command(flatten)]
        pool: Named,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Lists refreshes, those that are over among them.
    Ls,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The pool.
    pub(crate) pool: String,
}

#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Does not wait for the end.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Waits for so long at most: 30m, 4h.
    #[arg(long, value_parser = some_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Begin {
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// The number that a plan gave: if the pool is otherwise by now nothing is done.
    #[arg(long)]
    pub(crate) expect: Option<String>,
    /// Answers yes to every question.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The pools. Of several each is begun with when the one before it is through, and not at all when that was rolled back.
    #[arg(required = true, value_name = "POOL")]
    pub(crate) pools: Vec<String>,
    /// Begins when the refresh of this pool is through, and not at all when that was rolled back. Can be said several times.
    #[arg(long, value_name = "POOL")]
    pub(crate) after: Vec<String>,
    /// The machine image that new machines are launched from.
    #[arg(long, required_unless_present = "template", conflicts_with = "template")]
    pub(crate) ami: Option<String>,
    /// The version of a launch template that they are launched from; of each template of the group one.
    #[arg(long, value_name = "TEMPLATE=VERSION", value_parser = version)]
    pub(crate) template: Vec<(String, u64)>,
    /// What becomes of a machine once it is empty: another is launched in its place, or it stays and boots from another root volume.
    #[arg(long, value_enum, default_value_t = Way::Replace)]
    pub(crate) mode: Way,
    /// So many machines more than usual are there meanwhile, or in place so many are away at a time: 2, 10%. 10% when it is not said,
    /// and one at least.
    #[arg(long, value_parser = amount)]
    pub(crate) surge: Option<Amount>,
    /// So many machines are new before the others follow: 1, 25%; or all of one zone: zone. Can be said for each of several stages;
    /// 1 and then 25% when it is not said.
    #[arg(long, value_parser = stage, conflicts_with = "at_once")]
    pub(crate) stage: Vec<Stage>,
    /// All machines in one stage.
    #[arg(long)]
    pub(crate) at_once: bool,
    /// The new machines of a stage are watched for so long: 5m, 1h, 0s. 5m when it is not said.
    #[arg(long, value_parser = duration)]
    pub(crate) hold: Option<Duration>,
    /// A machine that is to go waits for so long for what its services do not allow: 15m when it is not said.
    #[arg(long, value_parser = some_duration)]
    pub(crate) drain_within: Option<Duration>,
    /// Stops what is left on a machine by then. Without it the machine is left as it is.
    #[arg(long)]
    pub(crate) force: bool,
    /// Cancels an instance refresh of the group that is not ours, and waits until that is over. Without it such a one is a reason not
    /// to begin.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Waits for no window of the pool, no end of a freeze and no other refresh, for this reason, which is told with it and kept on the record.
    #[arg(long = "override", value_name = "REASON")]
    pub(crate) urgent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Another machine is launched, and it is ended.
    Replace,
    /// It stays, and boots from another root volume.
    InPlace,
}

impl From<Way> for Mode {
    fn from(way: Way) -> Self {
        match way {
            Way::Replace => Self::Replace,
            Way::InPlace => Self::InPlace,
        }
    }
}

fn version(text: &str) -> Result<(String, u64), String> {
    let (id, version) =
        text.split_once('=').ok_or("it is TEMPLATE=VERSION: lt-0123456789abcdef0=7")?;
    let number = version.parse().map_err(|_| format!("{version:?} is no number of a version"))?;
    Ok((id.to_owned(), number))
}

fn stage(text: &str) -> Result<Stage, String> {
    match text {
        "zone" => Ok(Stage::Zone),
        text => match amount(text) {
            Ok(amount) => Ok(Stage::Machines(amount)),
            Err(why) => Err(format!("{why}, nor `zone`")),
        },
    }
}

fn amount(text: &str) -> Result<Amount, String> {
    let wrong = |_| format!("{text:?} is neither a number (2) nor a share (10%)");
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: u8 = percent.parse().map_err(wrong)?;
            if percent > 100 {
                return Err("a share is 100% at most".to_owned());
            }
            Ok(Amount::Percent(percent))
        }
        None => Ok(Amount::Count(text.parse().map_err(wrong)?)),
    }
}
