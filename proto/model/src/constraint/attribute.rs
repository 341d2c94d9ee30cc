//! What of a node a constraint can look at.

use std::fmt;

use super::{Quoted, parse};
use crate::node::Node;

/// What of a node a constraint looks at. What an agent has not said is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `node.id`
    Id,
    /// `node.hostname`
    Hostname,
    /// `node.zone`
    Zone,
    /// `node.pool`
    Pool,
    /// `node.ami`
    Ami,
    /// `node.instance_type`
    InstanceType,
    /// `node.platform.arch`
    Arch,
    /// `node.platform.os`
    Os,
    /// `node.engine.version`
    EngineVersion,
    /// `node.kernel.version`
    KernelVersion,
    /// `node.labels.KEY`
    Label(String),
}

/// What the names of labels begin with.
pub(super) const LABELS: &str = "node.labels.";

/// Every attribute but labels, by its name.
const NAMES: [(&str, Attribute); 10] = [
    ("node.id", Attribute::Id),
    ("node.hostname", Attribute::Hostname),
    ("node.zone", Attribute::Zone),
    ("node.pool", Attribute::Pool),
    ("node.ami", Attribute::Ami),
    ("node.instance_type", Attribute::InstanceType),
    ("node.platform.arch", Attribute::Arch),
    ("node.platform.os", Attribute::Os),
    ("node.engine.version", Attribute::EngineVersion),
    ("node.kernel.version", Attribute::KernelVersion),
];

impl Attribute {
    /// The attribute of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix(LABELS) {
            return (!key.is_empty()).then(|| Self::Label(key.to_owned()));
        }
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, attribute)| attribute)
    }

    /// The names of all attributes but labels.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }

    /// What a node says, if it says anything.
    #[must_use]
    pub fn of<'a>(&self, node: &'a Node) -> Option<&'a str> {
        let said = |text: &'a String| (!text.is_empty()).then_some(text.as_str());
        match self {
            Self::Id => Some(node.id.as_str()),
            Self::Hostname => said(&node.hostname),
            Self::Zone => said(&node.zone),
            Self::Pool => node.pool.as_deref(),
            Self::Ami => node.ami.as_deref(),
            Self::InstanceType => node.instance_type.as_deref(),
            Self::Arch => said(&node.arch),
            Self::Os => node.os.as_deref(),
            Self::EngineVersion => node.engine_version.as_deref(),
            Self::KernelVersion => node.kernel_version.as_deref(),
            Self::Label(key) => node.labels.get(key).map(String::as_str),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Label(key) = self {
            f.write_str(LABELS)?;
            // What is bare after the prefix is bare as a whole; a key may also be a word of the language.
            let is_bare = parse::is_bare_run(key);
            return if is_bare { f.write_str(key) } else { write!(f, "{}", Quoted(key)) };
        }
        let named = NAMES.iter().find(|(_, attribute)| attribute == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}
