//! Arguments of commands about what ran when.

use clap::{Args, Subcommand, ValueEnum};

use super::{Waiting, duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Lists when something else began to run, services and machines, as far as that is remembered.
    Ls,
    /// Shows what ran at a time beside what is to run now.
    #[command(
        after_help = "Examples:\n  wharf release show 2h\n  wharf release show 2027-03-03T02:00:00Z"
    )]
    Show {
        /// So long ago, or an instant: 2h, 2027-03-03T02:00:00Z.
        #[arg(value_name = "TIME", value_parser = moment)]
        at: u64,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf rollback web\n  wharf rollback web --to 3\n  wharf rollback --at 2h --plan\n  wharf rollback --at 2027-03-03T02:00:00Z --only services"
)]
pub(crate) struct Rollback {
    /// Which service. With --at these services and no machines; when none is named, everything that ran otherwise then.
    #[arg(value_name = "SERVICE", required_unless_present = "at")]
    pub(crate) services: Vec<String>,
    /// The generation; the last one that was healthy when it is not given.
    #[arg(long, conflicts_with = "at")]
    pub(crate) to: Option<u64>,
    /// Goes back to what ran so long ago, or at an instant, services and the machines beneath them: 2h, 2027-03-03T02:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<u64>,
    /// Only one half of that.
    #[arg(long, value_enum, requires = "at")]
    pub(crate) only: Option<Half>,
    /// Shows what would go back, and changes nothing. Ends with 2 when something would.
    #[arg(long, requires = "at")]
    pub(crate) plan: bool,
    /// Answers yes to every question.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Half {
    /// What runs in containers.
    Services,
    /// What machines are launched from.
    Machines,
}

/// A duration ago, or an instant, in milliseconds since 1970: exact, because what is listed with a time began at that time.
fn moment(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is neither a duration (2h) nor an instant since 1970 (RFC 3339)");
    let millis = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.as_millisecond(),
        Err(_) => {
            let ago = duration(text).map_err(|_| wrong())?;
            let ago = i64::try_from(ago.as_millis()).map_err(|_| wrong())?;
            jiff::Timestamp::now().as_millisecond().saturating_sub(ago)
        }
    };
    u64::try_from(millis).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_moment_is_read_as_it_is_listed() {
        assert_eq!(moment("2027-03-03T02:00:00.123Z"), Ok(1_804_039_200_123));
        assert!(moment("2h").is_ok_and(|then| then < moment("1h").unwrap_or_default()));
        for text in ["yesterday", "", "-2h", "1969-01-01T00:00:00Z", "9999999h"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
