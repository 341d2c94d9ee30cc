//! The command line of administrators: who is let in.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{duration, pair, since};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Prints a new token, once: it is kept nowhere.
    Create(CreateToken),
    /// Lists tokens, by the names that they go by.
    Ls,
    /// Prints the digest of the cluster's authority, by which nodes that join without a token know whom they call.
    Authority,
    /// Takes a token back. A node that has joined by it stays.
    Rm { token: String },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf token create --pool web --label disk=ssd > join-token\n  wharf token create --node i-0abc --expires 10m   (lets that node in again)"
)]
pub(crate) struct CreateToken {
    /// The pool of the node that joins by it.
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// A label of the node that joins by it, KEY=VALUE. May be given several times.
    #[arg(long = "label", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only this node may join by it, also when it has joined before or was revoked.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// How long it can be used, at most 7d.
    #[arg(long, default_value = "1h", value_parser = life)]
    pub(crate) expires: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Makes somebody an operator: writes a file that they take over with `wharf context import`.
    Add(AddOperator),
    /// Lists operators and what they may do.
    Ls,
    /// Takes somebody's certificate back, and ends what they are doing.
    Rm { name: String },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf operator add kim --role admin --out kim.toml\n  wharf operator add ci --role deployer --services 'shop/*' --out ci.toml\n  sudo wharf --addr unix:/var/lib/wharf/coordinator/admin.sock operator add kim --role admin --out kim.toml   (the first one)"
)]
pub(crate) struct AddOperator {
    pub(crate) name: String,
    /// What they may do, each what the one before it may.
    #[arg(long, value_enum)]
    pub(crate) role: Role,
    /// Services that a deployer may change, PROJECT/SERVICE with * for any characters. May be given several times.
    #[arg(long)]
    pub(crate) services: Vec<String>,
    /// How long the certificate holds, at most 366d.
    #[arg(long, default_value = "90d", value_parser = life)]
    pub(crate) valid: Duration,
    /// The file; NAME.toml when it is not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Where they reach the coordinator, HOST:PORT, when it does not know that itself.
    #[arg(long)]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Allows services something. What was allowed to the same ones before is not any more.
    #[command(
        after_help = "Examples:\n  wharf grant add 'shop/backup' --host-path /srv/data\n  wharf grant add 'edge/*' --host-network --capability NET_ADMIN --why 'ticket 7'"
    )]
    Add(AddGrant),
    /// Lists what is allowed, and by whom.
    Ls,
    /// Takes it back. What runs goes on; what is deployed from now on does without.
    Rm {
        /// As in `wharf grant ls`.
        services: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Says from where images may come, whoever deploys them. What was said before is not any more; what runs goes on.
    #[command(
        after_help = "Examples:\n  wharf policy set --images 'registry.example.com/team/*' --images nginx --why 'ticket 9'\n  wharf policy set --images any"
    )]
    Set {
        /// A repository, or HOST/PATH/* for all that are below; `any` for every image. May be given several times.
        #[arg(long, required = true, value_name = "PATTERN")]
        images: Vec<String>,
    },
    /// Shows from where images may come, and who has said so.
    Show,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("right").required(true).multiple(true))]
pub(crate) struct AddGrant {
    /// PROJECT/SERVICE, with * for any characters of one of the two.
    pub(crate) services: String,
    /// A path of the host with all that is below it, PATH to read it or PATH:rw to write it too. May be given several times.
    #[arg(long = "host-path", value_name = "PATH[:rw]", group = "right")]
    pub(crate) host_paths: Vec<String>,
    /// A volume that somebody has made on engines, NAME to read it or NAME:rw to write it too. May be given several times.
    #[arg(long = "host-volume", value_name = "NAME[:rw]", group = "right")]
    pub(crate) host_volumes: Vec<String>,
    /// The network of the host.
    #[arg(long, group = "right")]
    pub(crate) host_network: bool,
    /// A capability beyond those that every container has, as in NET_ADMIN. May be given several times.
    #[arg(long = "capability", value_name = "NAME", group = "right")]
    pub(crate) capabilities: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wharf audit --since 1h\n  wharf audit --who kim --what deploy -o jsonl\n  wharf audit -f\n  wharf audit --verify\n  wharf audit --verify --file /var/log/wharf/audit.jsonl   (a copy, without a coordinator)"
)]
pub(crate) struct Audit {
    /// Not before this: 10m ago, or an instant as RFC 3339.
    #[arg(long, value_parser = since)]
    pub(crate) since: Option<i64>,
    /// Only what somebody did whose name has this in it.
    #[arg(long, default_value = "")]
    pub(crate) who: String,
    /// Only calls that have this in their name: deploy, token.
    #[arg(long, default_value = "")]
    pub(crate) what: String,
    /// Only the newest so many.
    #[arg(long)]
    pub(crate) tail: Option<u64>,
    /// Goes on as more is done.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Finds out whether anything was changed, dropped, moved or cut off, and says where.
    #[arg(long, conflicts_with_all = ["since", "who", "what", "tail", "follow"])]
    pub(crate) verify: bool,
    /// The file that a coordinator writes (--audit-file), or a copy of it.
    #[arg(long, requires = "verify")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// Looks at everything.
    Viewer,
    /// Also changes the services that --services names, and runs commands in them.
    Deployer,
    /// Also changes every service, and opens, closes and empties nodes.
    Operator,
    /// Also says who is let in.
    Admin,
}

/// A duration, of which days may be given too.
fn life(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days.and_then(|days| days.checked_mul(86_400)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => duration(text)
            .map_err(|_| format!("{text:?} is not a duration: write 10m, 1h30m or 90d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_given_in_days_too() {
        assert_eq!(life("90d").unwrap().as_secs(), 90 * 86_400);
        assert_eq!(life("1h").unwrap().as_secs(), 3_600);
        for wrong in ["d", "-1d", "1.5d", "99999999999999999999d", "soon"] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
