//! Arguments of commands about secrets. A value is never one: everybody on the machine could read it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Gives a secret a value, out of a file or standard input.
    #[command(
        after_help = "Examples:\n  wharf secret set db-password < password.txt\n  openssl rand -hex 32 | wharf secret set session-key\n  wharf secret set tls-key --file key.pem --for 'edge/*'\n  wharf secret set tls-key --keep-value --for 'edge/*' --for shop/web"
    )]
    Set(Set),
    /// Lists secrets.
    Ls,
    /// Shows what is known of a secret beside its value.
    Inspect(Named),
    /// Forgets a secret that no service needs.
    Rm(Named),
    /// Says which services may name values that AWS keeps, also when they are deployed by somebody who may do nothing to others.
    #[command(
        after_help = "Examples:\n  wharf secret allow 'ssm:/shop/*' --for 'shop/*'\n  wharf secret allow secretsmanager:mail/smtp --for mail/front --for mail/worker"
    )]
    Allow(Allow),
    /// Takes back what `wharf secret allow` has said. What runs goes on.
    Disallow {
        /// As it was written.
        references: String,
    },
    /// Lists which services may name which values that AWS keeps.
    Allowed,
    /// Reads a value that AWS keeps now, and has services get it if it is another.
    Look(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Allow {
    /// `ssm:NAME` or `secretsmanager:NAME`, without version and key, with `*` at its end for all that begins so.
    pub(crate) references: String,
    /// Which services, as PROJECT/SERVICE with `*`; may be given several times, and replaces what was said before.
    #[arg(long = "for", value_name = "SERVICES", required = true)]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The secret.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The secret.
    pub(crate) name: String,
    /// A file with the value, which is taken as it is; standard input when it is not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Which services may name it, as PROJECT/SERVICE with `*`, also for whoever deploys only these; may be given several times, and replaces
    /// what was said before. Without it that stays as it is: a new secret is for operators alone.
    #[arg(long = "for", value_name = "SERVICES")]
    pub(crate) owners: Vec<String>,
    /// Leaves the value as it is, and only says who may name it.
    #[arg(long, requires = "owners", conflicts_with_all = ["file", "trim"])]
    pub(crate) keep_value: bool,
    /// Takes away one line break at the end, as `echo` and editors leave it.
    #[arg(long)]
    pub(crate) trim: bool,
}
