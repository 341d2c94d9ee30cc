//! A machine with our agent.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::resources::Resources;

/// A machine with our agent, as the coordinator remembers it.
///
/// What is heard every few seconds (presence, usage) is not here: it is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// On EC2 the instance id.
    pub id: NodeId,
    /// As the kernel says it.
    pub hostname: String,
    /// Nodes with the same engine share its host ports.
    pub engine: String,
    /// The failure domain; on EC2 the availability zone.
    pub zone: String,
    /// The processor's architecture as Docker names it: `amd64`, `arm64`.
    pub arch: String,
    /// What constraints can ask for.
    pub labels: BTreeMap<String, String>,
    /// What tasks may hold in all.
    pub capacity: Resources,
    /// What the operator allows.
    pub availability: Availability,
    /// What it was launched from: an Auto Scaling group.
    pub pool: Option<String>,
    /// The machine image that it booted.
    pub ami: Option<String>,
    /// What kind of machine it is: `m7g.large`.
    pub instance_type: Option<String>,
    /// As the engine names it: `linux`.
    pub os: Option<String>,
    /// Of the engine: `28.2.2`.
    pub engine_version: Option<String>,
    /// As the kernel says it: `6.1.0-18-amd64`.
    pub kernel_version: Option<String>,
}

/// What the operator allows on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Tasks may be placed.
    Active,
    /// No new tasks; those there go on.
    Cordoned,
    /// Proven gone: what ran there does not run any more.
    Dead,
}
