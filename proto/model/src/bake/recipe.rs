//! What an operator writes down: how machine images of one kind are made.

use std::fmt;
use std::time::Duration;

use super::Triggers;
use crate::id::{AmiId, RecipeName};
use crate::image::Image;

/// How machine images of one kind are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What they are called.
    pub name: RecipeName,
    /// What it begins with.
    pub base: BaseSource,
    /// For what processors.
    pub architecture: Architecture,
    /// The machines that are launched for it.
    pub launch: Launch,
    /// What is done on the builder, in this order.
    pub steps: Vec<Step>,
    /// Which container images go in.
    pub images: ImageSet,
    /// How the image is tried out.
    pub trial: Trial,
    /// Who gets to know of it.
    pub publish: Publish,
    /// When a bake of it begins by itself, where it is kept up.
    pub triggers: Triggers,
}

/// Where the image comes from that a bake begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSource {
    /// What a parameter of SSM holds.
    Parameter(String),
    /// The newest image of an owner whose name fits a pattern.
    Newest {
        /// Whose: an account's number, or `amazon`. Never left out: anybody may publish under any name.
        owner: String,
        /// A name with `*` and `?`.
        name: String,
    },
    /// This one.
    Id(AmiId),
}

impl fmt::Display for BaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "parameter {name}"),
            Self::Newest { owner, name } => write!(f, "the newest {name} of {owner}"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

/// What kind of processor an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit Intel and AMD.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// As EC2 has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The machines that are launched for a bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// `m7g.large`.
    pub instance_type: String,
    /// The subnet; one of the default network when there is none.
    pub subnet: Option<String>,
    /// Security groups by id; that of the network when there are none.
    pub security_groups: Vec<String>,
    /// The name of the instance profile, by whose role they show who they are.
    pub profile: Option<String>,
    /// Where they reach the coordinator, `HOST:PORT`.
    pub coordinator: String,
    /// A Debian package of the agent, for a base that has none: its URL and its SHA-256 in hexadecimal digits.
    pub agent: Option<(String, String)>,
}

/// Something that is done on the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// What.
    pub kind: StepKind,
    /// One try may take so long.
    pub timeout: Duration,
    /// So often it is tried again.
    pub retries: u32,
}

/// What is done on the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Packages of the distribution are installed.
    Packages(Vec<String>),
    /// Files are written.
    Files(Vec<File>),
    /// A shell runs this, as root.
    Script(String),
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute.
    pub path: String,
    /// `0o644`.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Which container images go into a machine image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// Whether those that services run, or could go back to, are among them.
    pub what_runs: bool,
    /// These in any case.
    pub extra: Vec<Image>,
    /// Those of services have no more than so many bytes together.
    pub budget_bytes: u64,
}

/// How an image is tried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What a shell runs on a machine that was launched from it, beside what is always tried.
    pub scripts: Vec<Script>,
    /// All of it may take so long.
    pub within: Duration,
}

/// A shell script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it is called.
    pub name: String,
    /// What it does.
    pub text: String,
}

/// Who gets to know of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish {
    /// It is for these pools.
    pub pools: Vec<String>,
    /// The parameter of SSM that is to hold its id.
    pub parameter: Option<String>,
}
