//! What is asked of EC2 and SSM so that machine images are made: each request once, and safe to repeat.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use model::bake::{Architecture, Base, BaseSource, Launch};
use model::id::{AmiId, NodeId};

use crate::CloudError;

/// What tells whose something is and what it is for.
pub type Tags = BTreeMap<String, String>;

/// A machine that is to be launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchOrder {
    /// With the same token it is the same machine. At most 64 characters.
    pub token: String,
    /// From what.
    pub ami: AmiId,
    /// How.
    pub launch: Launch,
    /// What it does when it boots.
    pub user_data: String,
    /// On the machine, its disks and its interfaces.
    pub tags: Tags,
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderPower {
    /// It is not known, or not yet.
    Unknown,
    /// It runs, or begins or ends to.
    On,
    /// It is stopped.
    Stopped,
    /// It is terminated, or about to be.
    Gone,
}

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageProgress {
    /// It is being written, or not known yet.
    Pending,
    /// It can be launched.
    Available,
    /// It never will be.
    Failed(String),
}

/// Something with our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Its id.
    pub id: String,
    /// What it is called, if it has a name of its own.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// Where machine images are made. Each request ends: none waits for longer than half a minute.
#[async_trait]
pub trait Bakery: Debug + Send + Sync {
    /// Finds the image that a bake begins with. None when there is none for such processors.
    async fn find_base(
        &self,
        source: &BaseSource,
        architecture: Architecture,
    ) -> Result<Option<Base>, CloudError>;

    /// Launches a machine, or says which was launched with the same token.
    async fn launch(&self, order: &LaunchOrder) -> Result<NodeId, CloudError>;

    /// Says whether a machine runs.
    async fn power(&self, machine: &NodeId) -> Result<BuilderPower, CloudError>;

    /// Has a machine end in order, keeping its disk.
    async fn stop(&self, machine: &NodeId) -> Result<(), CloudError>;

    /// Takes an image of a machine that is stopped, unless there is one of this name and bake already.
    async fn image(&self, machine: &NodeId, name: &str, tags: &Tags) -> Result<AmiId, CloudError>;

    /// Says how far an image is.
    async fn progress(&self, ami: &AmiId) -> Result<ImageProgress, CloudError>;

    /// Puts tags onto an image and its snapshots.
    async fn tag_image(&self, ami: &AmiId, tags: &Tags) -> Result<(), CloudError>;

    /// Has a parameter hold a value.
    async fn put_parameter(&self, name: &str, value: &str) -> Result<(), CloudError>;

    /// Ends machines for good, those that are not there among them.
    async fn terminate(&self, machines: &[NodeId]) -> Result<(), CloudError>;

    /// Machines that have these tags and are not gone.
    async fn machines_with(&self, tags: &Tags) -> Result<Vec<Owned>, CloudError>;

    /// Images of ours that have these tags.
    async fn images_with(&self, tags: &Tags) -> Result<Vec<Owned>, CloudError>;

    /// Removes an image and its snapshots, if it is there.
    async fn remove_image(&self, ami: &AmiId) -> Result<(), CloudError>;
}

impl CloudError {
    /// Says whether it would be the same however often it was asked.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(
                code.as_str(),
                "ParameterNotFound"
                    | "InvalidAMIID.NotFound"
                    | "InvalidAMIID.Malformed"
                    | "InvalidAMIName.Malformed"
                    | "InvalidSubnetID.NotFound"
                    | "InvalidGroup.NotFound"
                    | "InvalidGroupId.Malformed"
                    | "IdempotentParameterMismatch"
                    | "Unsupported"
                    | "UnsupportedOperation"
            ),
            // Rights are given, and what was asked too often is asked later.
            Self::Denied { .. } | Self::Throttled { .. } | Self::Unanswered { .. } => false,
        }
    }
}
