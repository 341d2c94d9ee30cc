//! Machine images and how they are made.
//!
//! ```text
//!  Recipe ─▶ Bake: resolving → launching → joining → working → stopping → imaging → settling
//!                  → testing (launching, joining, working) → publishing → clearing → ended ─▶ Ami
//! ```

mod recipe;
mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::recipe::{
    Architecture, BaseSource, File, ImageSet, Launch, Publish, Recipe, Script, Step, StepKind,
    Trial,
};
pub use self::upkeep::{
    APART_USUAL, Begins, Begun, Cause, LATEST_RETRY, LOOK_USUAL, Outcome, SHORTEST, Spread,
    Triggers, UPKEEPS_LIMIT, Upkeep,
};
use crate::id::{AmiId, BakeId, NodeId, RecipeName};
use crate::image::{Digest, Image};
use crate::time::Timestamp;

/// A bake that has failed and is kept can be tried again for so long; then it is cleared away.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Whatever a bake has made in the cloud and nobody knows of may be removed once it is so old.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(48 * 3_600);

/// One making of a machine image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bake {
    /// Which.
    pub id: BakeId,
    /// How, as the recipe was when it began.
    pub recipe: Arc<Recipe>,
    /// The container images that go in, chosen when it began, each with a reason.
    pub images: Arc<Vec<Chosen>>,
    /// Whether its machines stay when it fails, so that it can be looked into and tried again.
    pub keeps: bool,
    /// Why it began.
    pub cause: Cause,
    /// When it began.
    pub started_at: Timestamp,
    /// How often it was tried again: what it launches then is something else than before.
    pub retries: u32,
    /// Since when it is where it is.
    pub since: Timestamp,
    /// How far it is.
    pub phase: BakePhase,
}

/// A container image that goes into a machine image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub image: Image,
    /// Why, in words.
    pub why: String,
}

/// The image that a bake begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Which.
    pub ami: AmiId,
    /// What its owner calls it.
    pub name: String,
}

/// A machine that is being made into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// What it was launched from.
    pub base: Base,
    /// The machine.
    pub builder: NodeId,
}

/// What was found on a machine when all was done, just before its image was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Of the agent on it.
    pub agent_version: String,
    /// Every package of the system and its version, by name.
    pub packages: Vec<(String, String)>,
    /// As the kernel's package has it.
    pub kernel: String,
}

/// An image that was taken of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Of which machine.
    pub build: Build,
    /// What was on it.
    pub facts: Arc<Facts>,
    /// The image.
    pub ami: AmiId,
}

/// An image and the machine that tries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The image.
    pub taken: Taken,
    /// The machine that was launched from it.
    pub tester: NodeId,
}

/// How far a bake is. Only moves forward, but that one which was kept goes back to where it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BakePhase {
    /// It is found out which image it begins with.
    Resolving,
    /// A machine is launched from it.
    Launching {
        /// From this.
        base: Base,
    },
    /// The machine runs, and its agent was not heard yet.
    Joining {
        /// The machine.
        build: Build,
    },
    /// The machine does one step after the other.
    Working {
        /// The machine.
        build: Build,
        /// Which: [`Recipe::steps`], and after them the images and the scrubbing.
        step: u32,
    },
    /// All is done there, and it is being stopped.
    Stopping {
        /// The machine.
        build: Build,
        /// What is on it.
        facts: Arc<Facts>,
    },
    /// It is stopped, and its image is asked for.
    Imaging {
        /// The machine.
        build: Build,
        /// What is on it.
        facts: Arc<Facts>,
    },
    /// The image is being written.
    Settling {
        /// The image.
        taken: Taken,
    },
    /// A machine is launched from the image to try it out.
    TrialLaunching {
        /// The image.
        taken: Taken,
    },
    /// That machine runs, and its agent was not heard yet.
    TrialJoining {
        /// The image and the machine.
        tried: Tried,
    },
    /// The machine tries out what is on it.
    Trying {
        /// The image and the machine.
        tried: Tried,
    },
    /// It is good: everybody may know.
    Publishing {
        /// The image and the machine.
        tried: Tried,
    },
    /// It has failed, and is kept as it is.
    Kept {
        /// Where it was.
        at: Box<BakePhase>,
        /// Why.
        why: String,
        /// Until then it can be tried again.
        until: Timestamp,
    },
    /// What is not needed any more is taken away.
    Clearing {
        /// What it has made.
        rest: Rest,
        /// How it ends.
        end: End,
    },
    /// Nothing is left to do.
    Ended {
        /// How.
        end: End,
    },
}

/// What a bake has made in the cloud and does not need any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// Machines that are known. Others are looked for by their tags.
    pub machines: Vec<NodeId>,
    /// An image that was taken and is no good.
    pub ami: Option<AmiId>,
}

/// How a bake ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// There is an image.
    Published {
        /// Which.
        ami: AmiId,
    },
    /// There is none.
    Failed {
        /// What it was doing.
        during: String,
        /// Why it failed.
        why: String,
    },
    /// An operator did not want it any more.
    Removed,
}

impl BakePhase {
    /// The word for it that operators see.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Launching { .. } => "launching",
            Self::Joining { .. } => "joining",
            Self::Working { .. } => "working",
            Self::Stopping { .. } => "stopping",
            Self::Imaging { .. } => "imaging",
            Self::Settling { .. } => "settling",
            Self::TrialLaunching { .. } => "trial-launching",
            Self::TrialJoining { .. } => "trial-joining",
            Self::Trying { .. } => "trying",
            Self::Publishing { .. } => "publishing",
            Self::Kept { .. } => "kept",
            Self::Clearing { .. } => "clearing",
            Self::Ended { end: End::Published { .. } } => "published",
            Self::Ended { end: End::Failed { .. } } => "failed",
            Self::Ended { end: End::Removed } => "removed",
        }
    }

    /// Says whether it goes forward: it is neither kept, nor being cleared away, nor over.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        !matches!(self, Self::Kept { .. } | Self::Clearing { .. } | Self::Ended { .. })
    }

    /// The machine that something is expected of.
    #[must_use]
    pub const fn awaited(&self) -> Option<&NodeId> {
        match self {
            Self::Joining { build }
            | Self::Working { build, .. }
            | Self::Stopping { build, .. }
            | Self::Imaging { build, .. } => Some(&build.builder),
            Self::TrialJoining { tried } | Self::Trying { tried } => Some(&tried.tester),
            Self::Resolving
            | Self::Launching { .. }
            | Self::Settling { .. }
            | Self::TrialLaunching { .. }
            | Self::Publishing { .. }
            | Self::Kept { .. }
            | Self::Clearing { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// The machine that works, and at which step; none of one that tries out the image.
    #[must_use]
    pub const fn worker(&self) -> Option<(&NodeId, Option<u32>)> {
        match self {
            Self::Working { build, step } => Some((&build.builder, Some(*step))),
            Self::Trying { tried } => Some((&tried.tester, None)),
            Self::Resolving
            | Self::Launching { .. }
            | Self::Joining { .. }
            | Self::Stopping { .. }
            | Self::Imaging { .. }
            | Self::Settling { .. }
            | Self::TrialLaunching { .. }
            | Self::TrialJoining { .. }
            | Self::Publishing { .. }
            | Self::Kept { .. }
            | Self::Clearing { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// Where a bake goes on that has failed here. What is lost is made anew: an image that is no good, a machine that has tried
    /// it out. A builder that is stopped goes on from its disk.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Settling { taken } => {
                let (build, facts) = (taken.build.clone(), Arc::clone(&taken.facts));
                Self::Imaging { build, facts }
            }
            Self::TrialJoining { tried } | Self::Trying { tried } => {
                Self::TrialLaunching { taken: tried.taken.clone() }
            }
            same => same.clone(),
        }
    }

    /// Says whether nothing is left to do.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// What was found out and made so far.
    #[must_use]
    pub fn made(&self) -> Made<'_> {
        let none = Made::default();
        match self {
            Self::Resolving | Self::Clearing { .. } | Self::Ended { .. } => none,
            Self::Launching { base } => Made { base: Some(base), ..none },
            Self::Joining { build }
            | Self::Working { build, .. }
            | Self::Stopping { build, .. }
            | Self::Imaging { build, .. } => Made { build: Some(build), ..none },
            Self::Settling { taken } | Self::TrialLaunching { taken } => {
                Made { build: Some(&taken.build), taken: Some(taken), ..none }
            }
            Self::TrialJoining { tried } | Self::Trying { tried } | Self::Publishing { tried } => {
                let taken = &tried.taken;
                let (build, tester) = (Some(&taken.build), Some(&tried.tester));
                Made { build, taken: Some(taken), tester, ..none }
            }
            Self::Kept { at, .. } => at.made(),
        }
    }

    /// The machines that are known to be this bake's.
    pub fn machines(&self) -> impl Iterator<Item = &NodeId> {
        let cleared = match self {
            Self::Clearing { rest, .. } => rest.machines.as_slice(),
            Self::Resolving
            | Self::Launching { .. }
            | Self::Joining { .. }
            | Self::Working { .. }
            | Self::Stopping { .. }
            | Self::Imaging { .. }
            | Self::Settling { .. }
            | Self::TrialLaunching { .. }
            | Self::TrialJoining { .. }
            | Self::Trying { .. }
            | Self::Publishing { .. }
            | Self::Kept { .. }
            | Self::Ended { .. } => &[],
        };
        let made = self.made();
        let builder = made.build.map(|build| &build.builder);
        builder.into_iter().chain(made.tester).chain(cleared)
    }
}

/// What a bake has found out and made so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made<'a> {
    /// What it begins with, while no machine was launched from it.
    pub base: Option<&'a Base>,
    /// The machine that becomes an image.
    pub build: Option<&'a Build>,
    /// The image.
    pub taken: Option<&'a Taken>,
    /// The machine that tries it out.
    pub tester: Option<&'a NodeId>,
}

/// A machine image that was baked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ami {
    /// Its id in the region.
    pub id: AmiId,
    /// Its name, of which an account has one in a region.
    pub name: String,
    /// By which bake.
    pub bake: BakeId,
    /// By which recipe.
    pub recipe: RecipeName,
    /// What it began with.
    pub base: Base,
    /// When it was taken.
    pub made_at: Timestamp,
    /// For what processors.
    pub architecture: Architecture,
    /// The container images in it.
    pub images: Vec<Image>,
    /// What else is in it.
    pub facts: Arc<Facts>,
    /// For which pools.
    pub pools: Vec<String>,
    /// How far it is to be trusted.
    pub state: AmiState,
}

/// How far an image is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmiState {
    /// Nobody may use it yet.
    Quarantined,
    /// It was tried out, and is for its pools.
    Published {
        /// Since when.
        at: Timestamp,
        /// What was signed: the SHA-256 of its manifest.
        manifest: Digest,
    },
    /// It is to be used no more, and is being removed from the cloud or was.
    Retired {
        /// Since when.
        at: Timestamp,
    },
}

impl AmiState {
    /// The word for it that operators see.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Published { .. } => "published",
            Self::Retired { .. } => "retired",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published { ami } => write!(f, "{ami} is published"),
            Self::Failed { during, why } => write!(f, "failed while {during}: {why}"),
            Self::Removed => f.write_str("removed by an operator"),
        }
    }
}

impl Bake {
    /// What the image is called. The same for ever, so that it is found again when nobody heard whether it was made.
    #[must_use]
    pub fn image_name(&self) -> String {
        match self.retries {
            0 => format!("wharf-{}", self.id),
            retries => format!("wharf-{}-{retries}", self.id),
        }
    }

    /// How many steps a machine goes through: those of the recipe, the images, the scrubbing.
    #[must_use]
    pub fn step_count(&self) -> u32 {
        u32::try_from(self.recipe.steps.len()).unwrap_or(u32::MAX).saturating_add(2)
    }

    /// What a machine does in a step.
    #[must_use]
    pub fn work(&self, step: u32) -> Work<'_> {
        let steps = &self.recipe.steps;
        let index = usize::try_from(step).unwrap_or(usize::MAX);
        match steps.get(index) {
            Some(step) => Work::Step(step),
            None if index == steps.len() => Work::Images,
            None => Work::Scrub,
        }
    }

    /// What it does now, in words.
    #[must_use]
    pub fn doing(&self) -> String {
        doing(self, &self.phase)
    }
}

fn doing(bake: &Bake, phase: &BakePhase) -> String {
    let words = match phase {
        BakePhase::Resolving => "looking for the base image",
        BakePhase::Launching { .. } => "launching the builder",
        BakePhase::Joining { .. } => "waiting for the agent of the builder",
        BakePhase::Working { step, .. } => {
            return match bake.work(*step) {
                Work::Step(step) => format!("doing step {:?}", step.name),
                Work::Images => "pulling images".to_owned(),
                Work::Scrub => "scrubbing the builder".to_owned(),
            };
        }
        BakePhase::Stopping { .. } => "stopping the builder",
        BakePhase::Imaging { .. } => "asking for the image",
        BakePhase::Settling { .. } => "waiting for the image",
        BakePhase::TrialLaunching { .. } => "launching a machine from the image",
        BakePhase::TrialJoining { .. } => "waiting for the agent of the image",
        BakePhase::Trying { .. } => "trying out the image",
        BakePhase::Publishing { .. } => "publishing the image",
        BakePhase::Kept { at, .. } => return doing(bake, at),
        BakePhase::Clearing { .. } => "taking away its machines",
        BakePhase::Ended { end } => return end.to_string(),
    };
    words.to_owned()
}

/// What a machine does in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work<'a> {
    /// A step of the recipe.
    Step(&'a Step),
    /// Pulls the images.
    Images,
    /// Takes away what belongs to this machine alone, and says what is on it.
    Scrub,
}
