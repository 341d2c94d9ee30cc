//! What an agent is told at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agent_core::garbage;
use model::id::NodeId;
use model::resources::Resources;

use crate::credentials::Joining;
use crate::firewall::Wish;
use crate::secrets::Memory;

/// What a machine was launched from, as far as its agent is told.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The Auto Scaling group.
    pub pool: Option<String>,
    /// The machine image.
    pub ami: Option<String>,
    /// What kind of machine it is.
    pub instance_type: Option<String>,
}

/// What protects the way to the coordinator.
#[derive(Debug, Clone)]
pub enum Security {
    /// TLS, and a certificate that this node joins for.
    Tls(Joining),
    /// Nothing: only on one machine.
    Plaintext,
}

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The coordinator, `HOST:PORT`.
    pub coordinator: String,
    /// What protects the way to it.
    pub security: Security,
    /// Journal and identity.
    pub state: PathBuf,
    /// The engine.
    pub socket: PathBuf,
    /// Docker's credentials.
    pub docker_config: Option<PathBuf>,
    /// The name of this node; made up and kept when there is none.
    pub node: Option<NodeId>,
    /// Where this node fails together with others.
    pub zone: String,
    /// What this machine was launched from.
    pub origin: Origin,
    /// What constraints can ask for.
    pub labels: BTreeMap<String, String>,
    /// What tasks may hold; all of the machine when there is none.
    pub capacity: Option<Resources>,
    /// GPUs that tasks may be given; all of the machine when there is none.
    pub gpus: Option<u64>,
    /// Images that the engine has under a tag are not asked of a registry.
    pub prefer_local: bool,
    /// When images that nobody needs are removed.
    pub garbage: garbage::Limits,
    /// Whether this is a machine of a bake, and no node.
    pub builder: bool,
    /// Where secrets are.
    pub secrets: Memory,
    /// What is to be of the rules that keep containers from the instance metadata service; they are left as they are when
    /// there is none.
    pub metadata_rules: Option<Wish>,
    /// Where the metadata service is that says what this machine has to expect; nobody is asked when there is none.
    pub notices: Option<String>,
}
