//! What the cloud is to be asked about bakes: one thing at a time for each, and it follows from how far the bake is.

use std::sync::Arc;
use std::time::Duration;

use model::bake::{AmiState, Architecture, Bake, BakePhase, BaseSource, Launch, Rest, Upkeep};
use model::id::{AmiId, BakeId, NodeId};
use model::time::Timestamp;

use super::Command;
use crate::cluster::Cluster;

/// What takes its time is looked at so often.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// A machine at work is looked at so often: that it ended by itself is known at the latest by then.
pub(crate) const WATCH: Duration = Duration::from_secs(20);

/// A request about one bake. Making it twice is the same as making it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BakeAsk {
    /// Finds the image that it begins with.
    FindBase {
        /// Where.
        source: BaseSource,
        /// For what processors it has to be.
        architecture: Architecture,
    },
    /// Launches a machine.
    Launch {
        /// With the same token it is the same machine.
        token: String,
        /// From what.
        ami: AmiId,
        /// How.
        launch: Launch,
        /// Whether it is to try out the image.
        is_trial: bool,
    },
    /// Says whether a machine runs.
    Watch(NodeId),
    /// Stops a machine, and says whether it has.
    Stop(NodeId),
    /// Takes an image of a machine that is stopped, unless there is one of this name.
    Image {
        /// The machine.
        machine: NodeId,
        /// What the image is called.
        name: String,
    },
    /// Says how far an image is.
    LookAt(AmiId),
    /// Signs what is in the image, and says it to everybody.
    Publish(Arc<Bake>),
    /// Takes away all that the bake has made and does not need, and says how much is left.
    Clear {
        /// What is known of it. More is found by its tags.
        rest: Rest,
        /// Images of these names are no good either.
        names: Vec<String>,
    },
}

impl BakeAsk {
    /// Says whether it brings or takes away a machine or an image.
    pub(super) const fn is_weighty(&self) -> bool {
        match self {
            Self::Launch { .. } | Self::Image { .. } | Self::Clear { .. } | Self::Publish(_) => {
                true
            }
            Self::FindBase { .. } | Self::Watch(_) | Self::Stop(_) | Self::LookAt(_) => false,
        }
    }
}

/// What the cloud is to be asked now about bakes and images.
pub(super) fn commands(cluster: &Cluster, now: Timestamp) -> impl Iterator<Item = Command> {
    let bakes = cluster.bakes().values().filter(move |bake| cluster.bakes.may_ask(&bake.id, now));
    let asked = bakes.filter_map(|bake| {
        let (bake, ask) = (bake.id.clone(), of_phase(bake, &bake.phase)?);
        Some(Command::Bake { bake, ask: Box::new(ask) })
    });
    asked.chain(removals(cluster, now)).chain(looks(cluster, now))
}

/// Recipes that are kept up are looked at as often as they say. The base is asked for only where it can be a reason.
fn looks(cluster: &Cluster, now: Timestamp) -> impl Iterator<Item = Command> {
    let is_due = move |upkeep: &&Arc<Upkeep>| {
        let look = cluster.bakes.looks.get(&upkeep.recipe.name);
        look.is_none_or(|look| look.not_before <= now)
    };
    cluster.upkeeps().values().filter(is_due).map(|upkeep| {
        let recipe = &upkeep.recipe;
        let base = recipe.triggers.base_moved.then(|| (recipe.base.clone(), recipe.architecture));
        Command::Look { recipe: recipe.name.clone(), base }
    })
}

fn of_phase(bake: &Arc<Bake>, phase: &BakePhase) -> Option<BakeAsk> {
    Some(match phase {
        BakePhase::Resolving => BakeAsk::FindBase {
            source: bake.recipe.base.clone(),
            architecture: bake.recipe.architecture,
        },
        BakePhase::Launching { base } => launch(bake, &base.ami, false),
        BakePhase::Joining { build } | BakePhase::Working { build, .. } => {
            BakeAsk::Watch(build.builder.clone())
        }
        BakePhase::Stopping { build, .. } => BakeAsk::Stop(build.builder.clone()),
        BakePhase::Imaging { build, .. } => {
            BakeAsk::Image { machine: build.builder.clone(), name: bake.image_name() }
        }
        BakePhase::Settling { taken } => BakeAsk::LookAt(taken.ami.clone()),
        BakePhase::TrialLaunching { taken } => launch(bake, &taken.ami, true),
        BakePhase::TrialJoining { tried } | BakePhase::Trying { tried } => {
            BakeAsk::Watch(tried.tester.clone())
        }
        BakePhase::Publishing { .. } => BakeAsk::Publish(Arc::clone(bake)),
        BakePhase::Clearing { rest, end } => {
            let names = image_names(bake, end);
            BakeAsk::Clear { rest: rest.clone(), names }
        }
        BakePhase::Kept { .. } | BakePhase::Ended { .. } => return None,
    })
}

/// The names of images that this bake may have made and that are no good.
fn image_names(bake: &Bake, end: &model::bake::End) -> Vec<String> {
    let all = (0..=bake.retries).map(|retries| Bake { retries, ..bake.clone() }.image_name());
    match end {
        model::bake::End::Published { .. } => {
            let good = bake.image_name();
            all.filter(|name| *name != good).collect()
        }
        model::bake::End::Failed { .. } | model::bake::End::Removed => all.collect(),
    }
}

fn launch(bake: &Bake, ami: &AmiId, is_trial: bool) -> BakeAsk {
    // At most 64 characters: `w-`, 52 of the bake, and a letter with a number.
    let (kind, retries) = (if is_trial { 't' } else { 'b' }, bake.retries);
    BakeAsk::Launch {
        token: format!("w-{}-{kind}{retries}", bake.id),
        ami: ami.clone(),
        launch: bake.recipe.launch.clone(),
        is_trial,
    }
}

/// What is to be removed of what bakes have left, and of images that nobody wants.
fn removals(cluster: &Cluster, now: Timestamp) -> impl Iterator<Item = Command> {
    let may =
        move |id: &str| cluster.bakes.removals.get(id).is_none_or(|wait| wait.not_before <= now);
    let left = cluster.bakes.leftovers.values();
    let left = left.map(|left| (left.id.clone(), left.is_image));
    let retired = cluster.amis().values();
    let retired = retired.filter(|ami| matches!(ami.state, AmiState::Retired { .. }));
    let retired = retired.map(|ami| (ami.id.to_string(), true));
    let all = left.chain(retired).filter(move |(id, _)| may(id));
    all.map(|(id, is_image)| Command::Remove { id, is_image })
}

/// When something can be asked about bakes that could not be before.
pub(super) fn next(cluster: &Cluster) -> impl Iterator<Item = Timestamp> {
    let waits = cluster.bakes.waits.values().chain(cluster.bakes.removals.values());
    let looks = cluster.bakes.looks.values().map(|look| look.not_before);
    waits.map(|wait| wait.not_before).chain(looks)
}

/// A bake that waits to be asked about.
pub(crate) fn concerns(cluster: &Cluster, id: &BakeId) -> bool {
    cluster.bakes().get(id).is_some_and(|bake| !bake.phase.is_over())
}
