//! What is heard about bakes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::bake::{Base, Chosen, Facts, Recipe, UPKEEPS_LIMIT};
use model::id::{AmiId, BakeId, NodeId, RecipeName};
use model::image::Digest;

use crate::cluster::Leftover;

/// Something heard about machine images and the machines that are made for them.
#[derive(Debug, Clone)]
pub enum BakeEvent {
    /// An operator wants an image.
    Start {
        /// How it is made.
        recipe: Box<Recipe>,
        /// The container images that go in.
        images: Vec<Chosen>,
        /// Whether its machines stay when it fails.
        keeps: bool,
    },
    /// An operator wants one that has failed, and was kept, to be tried again from there.
    Retry(BakeId),
    /// An operator does not want it, or its being remembered, any more.
    Remove(BakeId),
    /// An operator wants bakes of a recipe to begin by themselves, as the recipe says.
    PutRecipe(Box<Recipe>),
    /// An operator has such a recipe stand still, or go on.
    SteerRecipe {
        /// Which.
        recipe: RecipeName,
        /// Whether it stands still.
        is_paused: bool,
    },
    /// An operator wants no bake of a recipe to begin by itself any more.
    RemoveRecipe(RecipeName),
    /// What can be a reason for a bake was looked at.
    Looked(Box<RecipeLook>),
    /// The agent of a machine of a bake speaks.
    Joined(NodeId),
    /// A machine of a bake has done what it was told, or not.
    Worked {
        /// Which.
        machine: NodeId,
        /// Under which number it was told.
        number: u32,
        /// What is on it, where that was asked for; or why it is not done.
        result: Result<Arc<Facts>, String>,
    },
    /// The cloud has answered.
    Answered {
        /// About which bake.
        bake: BakeId,
        /// What.
        answer: BakeAnswer,
    },
    /// All that bakes have made is looked through: this is in the cloud.
    Swept(Vec<Leftover>),
    /// An operator does not want these images any more.
    Retire(Vec<AmiId>),
    /// An image or a machine is gone from the cloud.
    Gone(String),
    /// It could not be removed.
    Stays {
        /// What.
        id: String,
        /// Why.
        why: String,
    },
}

/// What was seen of a recipe that is kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeLook {
    /// Which.
    pub recipe: RecipeName,
    /// Where the base was looked for, in words, and what it is, or why that is not known; none when that was not asked.
    pub base: Option<(String, Result<Base, String>)>,
    /// How large container images are, of which a node has said it.
    pub sizes: BTreeMap<Digest, u64>,
    /// Of what release the coordinator is.
    pub release: String,
}

/// What the cloud says about a bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BakeAnswer {
    /// It begins with this.
    Base(Base),
    /// A machine was launched, now or when it was asked before.
    Launched {
        /// Which.
        machine: NodeId,
        /// Whether it is to try out the image.
        is_trial: bool,
    },
    /// A machine runs, or does not.
    Power {
        /// Which.
        machine: NodeId,
        /// How it is.
        power: MachinePower,
    },
    /// An image was asked for, now or before.
    Imaged(AmiId),
    /// An image is ready, or not yet, or never will be.
    Image {
        /// Which.
        ami: AmiId,
        /// How it is.
        state: ImageState,
    },
    /// Everybody can know of the image now.
    Published {
        /// The SHA-256 of what was signed.
        manifest: Digest,
    },
    /// So many machines, images and snapshots are still to be taken away.
    Left(u32),
    /// It can not be done, however often it is asked.
    Impossible(String),
    /// It is not done, or nobody knows.
    Failed(String),
}

/// Whether a machine of a bake runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachinePower {
    /// The cloud does not know it: it may lag behind.
    Unknown,
    /// It runs, or begins or ends to.
    On,
    /// It is stopped, and its disk is as it was left.
    Stopped,
    /// It is gone, and so is its disk.
    Gone,
}

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is being written, or the cloud does not show it yet.
    Pending,
    /// It can be launched.
    Available,
    /// It never will be.
    Failed(String),
}

/// Why what was asked of a bake can not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BakeRefusal {
    /// There is none.
    None(BakeId),
    /// It did not fail, or is not there any more as it was.
    NotKept(BakeId, &'static str),
    /// Another one of the recipe is under way.
    Busy(BakeId),
    /// It is for a pool that there is not.
    NoPool(String),
    /// No bake of the recipe begins by itself.
    NoRecipe(RecipeName),
    /// Nothing would ever begin a bake of it.
    NoTrigger(RecipeName),
    /// There are [`UPKEEPS_LIMIT`] already.
    TooManyRecipes,
    /// There is no such image.
    NoAmi(AmiId),
    /// Machines run from it, or it is the newest of its pools.
    Needed(AmiId, String),
}

impl fmt::Display for BakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(id) => write!(f, "there is no bake {id}: `wharf bake ls` names them"),
            Self::NotKept(id, word) => write!(
                f,
                "bake {id} is {word}: only one that has failed and was started with --keep can be tried again"
            ),
            Self::Busy(id) => write!(
                f,
                "bake {id} of the same recipe is under way: wait for it, or end it with `wharf bake rm {id}`"
            ),
            Self::NoPool(name) => {
                write!(f, "there is no pool {name}: `wharf pool add {name}` makes one of a group")
            }
            Self::NoRecipe(name) => {
                write!(
                    f,
                    "no bake of recipe {name} begins by itself: `wharf recipe ls` names those of which some do"
                )
            }
            Self::NoTrigger(name) => write!(
                f,
                "nothing begins a bake of recipe {name}: add `triggers`, as docs/bake.md shows them"
            ),
            Self::TooManyRecipes => {
                write!(f, "bakes of {UPKEEPS_LIMIT} recipes begin by themselves, and no more may")
            }
            Self::NoAmi(id) => write!(f, "there is no image {id}: `wharf ami ls` names them"),
            Self::Needed(id, why) => write!(f, "image {id} is needed: {why}"),
        }
    }
}
