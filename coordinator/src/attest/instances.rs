//! Who knows the instances: the seam between letting machines in and whatever looks at AWS.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Knows which instances are ours, and what they belong to. It is asked when a machine has shown which instance it is, and
/// before it is let in; an answer of a minute ago is not good enough for one that was made a moment ago, so an instance
/// that is not known yet is looked up at AWS before it is called foreign.
#[tonic::async_trait]
pub trait Instances: Debug + Send + Sync {
    /// What is known of it.
    ///
    /// # Errors
    /// When that can not be found out now: the machine comes again.
    async fn find(&self, question: &Question) -> anyhow::Result<Known>;
}

/// Which instance is meant. All of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Twelve digits.
    pub account: String,
    /// As in `eu-central-1`.
    pub region: String,
    /// As in `i-0123456789abcdef0`.
    pub instance: String,
}

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is in a pool of ours, and runs.
    Ours(Instance),
    /// We have launched it for a bake: it works, and is no node.
    Baking,
    /// It is in no pool of ours.
    Foreign,
    /// It is in a pool of ours and not to be let in, for this reason: it is being terminated, another image than the pool
    /// has, a root volume that came later than the machine.
    Unfit(String),
}

/// An instance in a pool of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instance {
    /// Its pool.
    pub pool: String,
    /// What constraints can ask for.
    pub labels: BTreeMap<String, String>,
    /// Its availability zone.
    pub zone: Option<String>,
    /// The image that it was launched from.
    pub ami: Option<String>,
    /// What kind of machine it is.
    pub instance_type: Option<String>,
}
