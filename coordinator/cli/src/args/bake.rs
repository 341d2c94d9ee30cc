//! Arguments of commands about machine images.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Bake {
    /// Makes a machine image by a recipe, and follows it to its end.
    #[command(
        after_help = "Examples:\n  wharf bake start bake.yaml\n  wharf bake start bake.yaml --keep --detach"
    )]
    Start(Start),
    /// Shows which container images would go in, and why; exit code 2, because it would make an image.
    Plan {
        /// The recipe.
        recipe: PathBuf,
    },
    /// Lists bakes.
    Ls,
    /// Shows everything about a bake.
    Inspect {
        /// Its id.
        bake: String,
    },
    /// Shows what the machines of a bake have written.
    Logs {
        /// Its id.
        bake: String,
        /// Goes on until the bake has ended.
        #[arg(short, long)]
        follow: bool,
    },
    /// Tries a bake that has failed and was kept again, from the step at which it failed.
    Retry {
        /// Its id.
        bake: String,
    },
    /// Ends a bake and takes away what it has made; forgets one that is over.
    Rm {
        /// Its id.
        bake: String,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Keeps the machines for a day when it fails, so that it can be tried again from there.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Does not wait for the end.
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ami {
    /// Lists machine images that were baked.
    Ls,
    /// Shows from which images the machines of pools are launched, how many are older than what their group launches, and why.
    Status {
        /// Only of this pool.
        pool: Option<String>,
    },
    /// Shows everything about an image.
    Inspect {
        /// Its id or its name.
        ami: String,
    },
    /// Compares two images: their packages, their container images, their agents.
    Diff {
        /// The older one.
        from: String,
        /// The newer one.
        to: String,
    },
    /// Removes images from the cloud that nothing needs.
    Gc {
        /// Shows what would be removed and removes nothing; exit code 2 when there is something.
        #[arg(long)]
        plan: bool,
        /// So many published images of each recipe stay in any case.
        #[arg(long, default_value_t = 3)]
        keep: u32,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
}
