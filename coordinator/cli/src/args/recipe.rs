//! Arguments of commands about recipes of which bakes begin by themselves.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Recipe {
    /// Has bakes of a recipe begin by themselves, as its `triggers` say; what is said later is all of it.
    #[command(
        after_help = "Examples:\n  wharf recipe set bake.yaml\n  wharf recipe set bake.yaml --plan"
    )]
    Set {
        /// The recipe.
        recipe: PathBuf,
        /// Shows what would begin a bake and changes nothing; exit code 2.
        #[arg(long)]
        plan: bool,
    },
    /// Lists recipes of which bakes begin by themselves, and what begins the next.
    Ls,
    /// Shows what each trigger of a recipe sees, and everything else about it.
    Inspect {
        /// Its name.
        recipe: String,
    },
    /// Has no bake of a recipe begin by itself until it is resumed. One that has begun goes on.
    Pause {
        /// Its name.
        recipe: String,
    },
    /// Has bakes of a recipe begin by themselves again. Times of its schedule that have passed meanwhile are not made up for.
    Resume {
        /// Its name.
        recipe: String,
    },
    /// Has a recipe baked by hand only. One that has begun goes on, and images stay.
    Rm {
        /// Its name.
        recipe: String,
        /// Answers yes to every question.
        #[arg(short, long)]
        yes: bool,
    },
}
