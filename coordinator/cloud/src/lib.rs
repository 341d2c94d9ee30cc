//! What a coordinator asks of EC2 and Auto Scaling.
//!
//! ```text
//!  coordinator ─▶ trait Cloud ─▶ Aws (the feature aws) ─▶ Auto Scaling, EC2, SQS
//! ```
//!
//! Nothing here decides: what the cloud says is put into the words of [`model::fleet`], and what it is told comes ready.
#![deny(missing_docs)]

#[cfg(feature = "aws")]
mod aws;
mod bakery;
mod balancers;
mod message;
mod references;
#[cfg(feature = "aws")]
mod words;

#[cfg(feature = "aws")]
pub use aws::{Aws, Settings};
pub use bakery::{Bakery, BuilderPower, ImageProgress, LaunchOrder, Owned, Tags};
pub use balancers::Balancers;
pub use message::{Message, Unreadable};
pub use references::{References, Referred};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use async_trait::async_trait;
use model::fleet::{Answer, GroupHook, HookId, Survey};
use model::id::NodeId;
use model::refresh::{Blueprint, Version};
use thiserror::Error;

/// Why the cloud did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloudError {
    /// We may not.
    #[error("{request}: not allowed ({code}): {why}")]
    Denied {
        /// What was asked.
        request: &'static str,
        /// In the cloud's words.
        code: String,
        /// In the cloud's words.
        why: String,
    },
    /// Too much was asked lately.
    #[error("{request}: the cloud wants to be asked less often ({code})")]
    Throttled {
        /// What was asked.
        request: &'static str,
        /// In the cloud's words.
        code: String,
    },
    /// It does not allow it as things are.
    #[error("{request}: {code}: {why}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// In the cloud's words.
        code: String,
        /// In the cloud's words.
        why: String,
    },
    /// Nobody knows whether it was done: no answer came.
    #[error("{request}: no answer: {why}")]
    Unanswered {
        /// What was asked.
        request: &'static str,
        /// What went wrong on the way.
        why: String,
    },
}

impl CloudError {
    /// What an operator can do about it, where there is something.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Denied { .. } => Some(
                "the role of the coordinator lacks a permission: compare it with docs/pools.md",
            ),
            Self::Unanswered { .. } => {
                Some("is the region right, and can the coordinator's machine reach its endpoints?")
            }
            Self::Throttled { .. } | Self::Refused { .. } => None,
        }
    }
}

/// What became of an answer or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The group knows.
    Heard,
    /// It does not wait, or not any more.
    NothingWaits,
}

/// What has become of a machine that is to get another root volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rooted {
    /// It has it.
    Replaced,
    /// It will, as far as is known.
    UnderWay,
    /// It will not: it has its own still, or none.
    InVain {
        /// In the cloud's words.
        why: String,
    },
}

/// Something that the cloud has told us, until we say that we have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it says.
    pub message: Result<Message, Unreadable>,
    /// By which it is struck off.
    pub receipt: String,
}

/// What a coordinator asks of the cloud. Each request ends: none waits for longer than half a minute.
#[async_trait]
pub trait Cloud: Debug + Send + Sync {
    /// Looks at groups and their machines, and at other machines by id.
    async fn survey(
        &self,
        groups: &BTreeSet<String>,
        others: &BTreeSet<NodeId>,
    ) -> Result<Survey, CloudError>;

    /// The machine images that versions of launch templates name; none where there is no such version.
    async fn images(
        &self,
        versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Option<String>>, CloudError>;

    /// Waits for what the cloud has to tell, up to 20 seconds. None when it was not said where to listen.
    async fn letters(&self) -> Option<Result<Vec<Letter>, CloudError>>;

    /// Strikes off what we have written down.
    async fn received(&self, receipt: &str) -> Result<(), CloudError>;

    /// Tells a group what to do with a machine. Safe to repeat.
    async fn answer(
        &self,
        pool: &str,
        hook: (&HookId, Option<&str>),
        answer: Answer,
    ) -> Result<Told, CloudError>;

    /// Has a group go on waiting. Safe to repeat.
    async fn beat(&self, pool: &str, hook: (&HookId, Option<&str>)) -> Result<Told, CloudError>;

    /// Has a group wait for us. Safe to repeat.
    async fn set_hook(&self, pool: &str, hook: &GroupHook) -> Result<(), CloudError>;

    /// Has a group wait for this hook no more. Safe to repeat.
    async fn remove_hook(&self, pool: &str, name: &str) -> Result<(), CloudError>;

    /// Asks a group for more machines, unless it wants as many already, or another number than was known. Safe to repeat.
    async fn grow(&self, pool: &str, from: u32, to: u32) -> Result<(), CloudError>;

    /// Makes a version of each of these launch templates that differs in the machine image only, and says which. Safe to repeat
    /// with the same token.
    async fn make_template(
        &self,
        token: &str,
        from: &Blueprint,
        ami: &str,
    ) -> Result<Blueprint, CloudError>;

    /// Has a group launch machines from other versions of the same templates, unless it launches something else than was known.
    /// Safe to repeat.
    async fn set_template(
        &self,
        pool: &str,
        from: &Blueprint,
        to: &Blueprint,
    ) -> Result<(), CloudError>;

    /// Allows a group so many machines. Safe to repeat.
    async fn set_max(&self, pool: &str, to: u32) -> Result<(), CloudError>;

    /// Has a group leave something undone that it does by itself, or do it again. Safe to repeat.
    async fn set_process(
        &self,
        pool: &str,
        process: &str,
        suspended: bool,
    ) -> Result<(), CloudError>;

    /// Ends a machine through its group. If the group wants more than `keep` machines it wants one less from then on; otherwise
    /// another takes its place. Safe to repeat: a machine that is on its way out already is left alone.
    async fn terminate(&self, pool: &str, instance: &NodeId, keep: u32) -> Result<(), CloudError>;

    /// Has a machine boot from a root volume that is made of a machine image, in place of its own, which is deleted; says how far that
    /// is. Safe to repeat with the same token: it is done once.
    async fn replace_root(
        &self,
        instance: &NodeId,
        token: &str,
        ami: &str,
    ) -> Result<Rooted, CloudError>;

    /// Cancels an instance refresh of a group, if there is one, and says whether it is over. Safe to repeat.
    async fn cancel_refresh(&self, pool: &str) -> Result<bool, CloudError>;

    /// Has a group be looked at closely the next time, whatever is remembered of it.
    fn forget(&self, pool: &str);

    /// Says whether there is such a machine image, and it can be launched.
    async fn has_ami(&self, ami: &str) -> Result<bool, CloudError>;

    /// Where machine images are made. None where that is not known.
    fn bakery(&self) -> Option<&dyn Bakery> {
        None
    }

    /// Where load balancers are told. None where that is not known.
    fn balancers(&self) -> Option<&dyn Balancers> {
        None
    }

    /// Who keeps values that we may read. None where that is not known.
    fn references(&self) -> Option<&dyn References> {
        None
    }

    /// Which region this is: `eu-west-1`.
    fn region(&self) -> &str;

    /// Who we are to the cloud and where it is, in words.
    fn describe(&self) -> String;
}
