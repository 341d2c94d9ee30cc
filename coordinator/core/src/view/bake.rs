//! What a machine of a bake is to do, which images are needed, and what one says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use model::bake::{AmiState, Bake, Work};
use model::id::{AmiId, NodeId};
use model::node::Availability;
use model::refresh::{Blueprint, Refresh, RefreshEnd, RefreshPhase, Version};

use crate::cluster::Cluster;
use crate::plan::bake::told_limit;

/// What a machine of a bake is to do now.
#[derive(Debug, Clone)]
pub struct Told {
    /// Of which bake.
    pub bake: Arc<Bake>,
    /// Counts up with each step and each retry.
    pub number: u32,
    /// It may take so long: a try of a step, or all of anything else.
    pub timeout: Duration,
    /// Which part of the bake.
    pub part: Part,
}

/// Which part of a bake a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A step on the builder.
    Step(u32),
    /// It tries out the image.
    Trial,
}

/// More steps than there are in any bake, so that the numbers of a retry are others than those before.
const NUMBERS: u32 = 1_000;

/// What a machine is to do now, if anything.
#[must_use]
pub fn work_of(cluster: &Cluster, machine: &NodeId) -> Option<Told> {
    let bake = cluster.bake_of(machine)?;
    let (worker, step) = bake.phase.worker()?;
    if worker != machine {
        return None;
    }
    let part = step.map_or(Part::Trial, Part::Step);
    let step = step.unwrap_or_default();
    let number = bake.retries.saturating_mul(NUMBERS).saturating_add(step).saturating_add(1);
    Some(Told { bake: Arc::clone(bake), number, timeout: told_limit(bake), part })
}

/// Why an image has to stay, if it has to.
#[must_use]
pub fn needs(cluster: &Cluster, id: &AmiId) -> Option<String> {
    let ami = cluster.amis().get(id)?;
    if ami.state == AmiState::Quarantined {
        return Some(format!("bake {} is trying it out", ami.bake));
    }
    let nodes = cluster.nodes().values().filter(|node| node.availability != Availability::Dead);
    let running = nodes.filter(|node| node.ami.as_deref() == Some(id.as_str())).count();
    let machines = cluster.instances().values();
    let launched =
        machines.filter(|one| one.ami.as_deref() == Some(id.as_str()) && !one.power.is_off());
    let launched = launched.count().max(running);
    if launched > 0 {
        return Some(format!("{launched} machines run from it"));
    }
    if let Some(why) = launched_from(cluster, id) {
        return Some(why);
    }
    let is_base = |bake: &&Arc<Bake>| {
        let made = bake.phase.made();
        let base = made.base.or(made.build.map(|build| &build.base));
        !bake.phase.is_over() && base.is_some_and(|base| base.ami == *id)
    };
    if let Some(bake) = cluster.bakes().values().find(is_base) {
        return Some(format!("bake {} begins with it", bake.id));
    }
    None
}

/// Who launches machines from a blueprint, or may.
enum Use<'a> {
    /// The group of this pool does.
    Launched(&'a str),
    /// This refresh moves its pool there.
    Aim(&'a Refresh),
    /// This pool can be rolled back there.
    WayBack(&'a str),
}

impl Use<'_> {
    fn why(&self) -> String {
        match self {
            Self::Launched(pool) => format!("group {pool} launches machines from it"),
            Self::Aim(refresh) => {
                format!("refresh {} replaces machines by such of it", refresh.id)
            }
            Self::WayBack(pool) => format!("pool {pool} can be rolled back to it"),
        }
    }

    /// Says whether its versions have to be there. One that was just made may not show yet; one to go back to may be deleted.
    const fn is_live(&self) -> bool {
        match self {
            Self::Launched(_) | Self::Aim(_) => true,
            Self::WayBack(_) => false,
        }
    }
}

/// What may be launched, and by whom.
fn launchable(cluster: &Cluster) -> impl Iterator<Item = (&Blueprint, Use<'_>)> {
    let groups = cluster.pools().keys().filter_map(|name| {
        let blueprint = cluster.group(name)?.blueprint.as_ref()?;
        Some((blueprint, Use::Launched(name)))
    });
    let latest = cluster.pools().keys().filter_map(|name| cluster.refreshes_of(name).last());
    let refreshes = latest.flat_map(|refresh| {
        let (can_go_back, goes_forward) = match &refresh.phase {
            RefreshPhase::Done { end: RefreshEnd::RolledBack { .. }, .. } => (false, false),
            RefreshPhase::Done { .. } => (true, false),
            RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. } => (true, true),
        };
        let back = (&refresh.from, Use::WayBack(&refresh.id.pool));
        let forward = (&refresh.to, Use::Aim(refresh));
        can_go_back.then_some(back).into_iter().chain(goes_forward.then_some(forward))
    });
    groups.chain(refreshes)
}

/// The versions of launch templates of which it has to be known which images they name, so that none of those is removed.
#[must_use]
pub fn versions(cluster: &Cluster) -> BTreeSet<Version> {
    launchable(cluster).flat_map(|(blueprint, _)| blueprint.versions()).collect()
}

/// Who launches machines from an image, or may. Also when nobody can say that nobody does.
fn launched_from(cluster: &Cluster, id: &AmiId) -> Option<String> {
    let makes = |refresh: &&Arc<Refresh>| matches!(&refresh.phase, RefreshPhase::Making { ami } if ami == id.as_str());
    if let Some(refresh) = cluster.open_refreshes().find(makes) {
        return Some(Use::Aim(refresh).why());
    }
    let images = &cluster.fleet.images;
    let names = |blueprint: &Blueprint| {
        blueprint.versions().any(|version| {
            images.get(&version).is_some_and(|image| image.as_deref() == Some(id.as_str()))
        })
    };
    if let Some((_, used)) = launchable(cluster).find(|(blueprint, _)| names(blueprint)) {
        return Some(used.why());
    }
    let unseen = cluster
        .pools()
        .keys()
        .find(|name| cluster.group(name).is_none_or(|group| group.blueprint.is_none()));
    let unseen = unseen.map(|name| {
        format!("it is not known what pool {name} launches: its group is not there, was not looked at, or names no one version")
    });
    unseen.or_else(|| launchable(cluster).find_map(|one| not_known(images, one)))
}

/// The first version of a blueprint of which nobody can say which image it names.
fn not_known(
    images: &BTreeMap<Version, Option<String>>,
    (blueprint, used): (&Blueprint, Use<'_>),
) -> Option<String> {
    let is_known = |version: &Version| match images.get(version) {
        // What is looked up at each launch can be another image each time.
        Some(Some(image)) => image.parse::<AmiId>().is_ok(),
        Some(None) => !used.is_live(),
        None => false,
    };
    let (template, number) = blueprint.versions().find(|version| !is_known(version))?;
    Some(format!("it is not known which image version {number} of {template} names"))
}

/// What becomes of an image when room is made: whether it goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub ami: AmiId,
    /// Whether it goes.
    pub goes: bool,
    /// Why.
    pub why: String,
}

/// What becomes of each image when room is made and so many of each recipe stay in any case, the newest.
#[must_use]
pub fn collect(cluster: &Cluster, keep: u32) -> Vec<Verdict> {
    let mut amis: Vec<_> = cluster.amis().values().collect();
    amis.sort_by_key(|ami| (std::cmp::Reverse(ami.made_at), ami.id.clone()));
    let mut kept = BTreeMap::new();
    let verdict = |ami: &&Arc<model::bake::Ami>| {
        let count = kept.entry(ami.recipe.clone()).or_insert(0_u32);
        let (goes, why) = match (&ami.state, needs(cluster, &ami.id)) {
            (AmiState::Retired { .. }, _) => (true, "it is being removed already".to_owned()),
            (_, Some(why)) => (false, why),
            (AmiState::Published { .. }, None) if *count < keep => {
                (false, format!("it is one of the {keep} newest of {}", ami.recipe))
            }
            (AmiState::Published { .. } | AmiState::Quarantined, None) => {
                (true, format!("nothing runs from it, and {keep} of {} are newer", ami.recipe))
            }
        };
        if matches!(ami.state, AmiState::Published { .. }) {
            *count += 1;
        }
        Verdict { ami: ami.id.clone(), goes, why }
    };
    amis.iter().map(verdict).collect()
}

/// What is written into an image about itself, in a form of which there is one: lines of `NAME VALUE`, sorted lists.
/// Packages are not among it: they are known only when it is written.
#[must_use]
pub fn manifest(bake: &Bake) -> String {
    let made = bake.phase.made();
    let mut text = String::from("wharf-image 1\n");
    let mut line = |name: &str, value: &str| {
        // A text takes whatever is written.
        let _written = writeln!(text, "{name} {value}");
    };
    line("name", &bake.image_name());
    line("bake", bake.id.as_str());
    line("recipe", bake.recipe.name.as_str());
    line("architecture", bake.recipe.architecture.as_str());
    if let Some(base) = made.base.or(made.build.map(|build| &build.base)) {
        line("base", &format!("{} {}", base.ami, base.name));
    }
    for step in 0..bake.step_count() {
        if let Work::Step(step) = bake.work(step) {
            line("step", &step.name);
        }
    }
    let images: BTreeSet<String> =
        bake.images.iter().map(|chosen| chosen.image.to_string()).collect();
    images.iter().for_each(|image| line("image", image));
    text
}

/// What is signed: the same, the agent, and every package that was found.
#[must_use]
pub fn signed_manifest(bake: &Bake) -> String {
    let mut text = manifest(bake);
    if let Some(taken) = bake.phase.made().taken {
        let _written = writeln!(text, "agent {}", taken.facts.agent_version);
        let _written = writeln!(text, "kernel {}", taken.facts.kernel);
        for (name, version) in &taken.facts.packages {
            let _written = writeln!(text, "package {name} {version}");
        }
    }
    text
}
