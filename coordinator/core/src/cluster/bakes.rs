//! Bakes, the images that came of them, and what the cloud has said of either.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::bake::{Ami, AmiState, Bake, Base, Upkeep};
use model::id::{AmiId, BakeId, NodeId, RecipeName};
use model::image::Digest;
use model::time::Timestamp;

use super::Cluster;
use crate::command;

/// What is known of machine images. Only bakes, images and upkeeps are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bakes {
    pub(super) bakes: BTreeMap<BakeId, Arc<Bake>>,
    pub(super) amis: BTreeMap<AmiId, Arc<Ami>>,
    pub(super) upkeeps: BTreeMap<RecipeName, Arc<Upkeep>>,
    /// Which bake each machine belongs to, of those that are not over.
    machines: BTreeMap<NodeId, BakeId>,
    /// When the cloud is asked again about each bake, and why not before.
    pub(crate) waits: BTreeMap<BakeId, Wait>,
    /// What bakes have left in the cloud that nobody knows of, by id.
    pub(crate) leftovers: BTreeMap<String, Leftover>,
    /// When something that could not be removed is tried again.
    pub(crate) removals: BTreeMap<String, Wait>,
    /// What was seen when recipes were last looked at.
    pub(crate) looks: BTreeMap<RecipeName, Look>,
    /// How large container images are, as of the last look.
    pub(crate) sizes: Arc<BTreeMap<Digest, u64>>,
    /// Of what release the coordinator is, once it has said so.
    pub(crate) release: String,
    /// When it is considered next whether a bake of each recipe begins by itself: at once when something has changed.
    pub(crate) considered: BTreeMap<RecipeName, Timestamp>,
}

/// What was seen when a recipe was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// The base, where it can be a reason and was found.
    pub base: Option<Base>,
    /// Why it was not found; nothing while all is well.
    pub trouble: String,
    /// How often it was not.
    pub failures: u32,
    /// When it is looked at again.
    pub not_before: Timestamp,
}

/// Why the cloud is not asked about a bake now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Not before.
    pub not_before: Timestamp,
    /// How often it was asked in vain.
    pub failures: u32,
    /// What it said then; nothing while all is well.
    pub trouble: String,
}

impl Wait {
    /// All is well, and it takes its time.
    pub(crate) const fn patient(not_before: Timestamp) -> Self {
        Self { not_before, failures: 0, trouble: String::new() }
    }

    /// It was asked in vain once more, by now.
    pub(crate) fn in_vain(before: Option<&Self>, why: &str, now: Timestamp) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        Self { not_before: command::retry(failures, now), failures, trouble: why.to_owned() }
    }
}

/// Something in the cloud that a bake has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its id: a machine's or an image's.
    pub id: String,
    /// Of which bake, by its tag.
    pub bake: BakeId,
    /// What it is.
    pub is_image: bool,
    /// It may be removed after that, by its tag.
    pub expires_at: Timestamp,
}

impl Bakes {
    pub(super) fn put(&mut self, bake: &Arc<Bake>) {
        self.forget_machines(&bake.id);
        let before = self.bakes.insert(bake.id.clone(), Arc::clone(bake));
        let owned = bake.phase.machines().filter(|_| !bake.phase.is_over());
        let owned: Vec<NodeId> = owned.cloned().collect();
        self.machines.extend(owned.into_iter().map(|machine| (machine, bake.id.clone())));
        if before.is_none_or(|before| before.phase != bake.phase) {
            self.waits.remove(&bake.id);
        }
        // Others may wait for one that is through.
        if bake.phase.is_under_way() {
            self.touch(&bake.recipe.name);
        } else {
            self.touch_all();
        }
    }

    pub(super) fn remove(&mut self, id: &BakeId) {
        self.forget_machines(id);
        self.bakes.remove(id);
        self.waits.remove(id);
        self.touch_all();
    }

    pub(super) fn put_upkeep(&mut self, upkeep: &Arc<Upkeep>) {
        let name = upkeep.recipe.name.clone();
        let before = self.upkeeps.insert(name.clone(), Arc::clone(upkeep));
        // What was seen of another base means nothing.
        if before.is_some_and(|before| before.recipe != upkeep.recipe) {
            self.looks.remove(&name);
        }
        self.touch(&name);
    }

    pub(super) fn remove_upkeep(&mut self, name: &RecipeName) {
        self.upkeeps.remove(name);
        self.looks.remove(name);
        self.considered.remove(name);
    }

    /// It is considered in this step whether a bake of the recipe begins by itself.
    pub(crate) fn touch(&mut self, name: &RecipeName) {
        if self.upkeeps.contains_key(name) {
            self.considered.insert(name.clone(), Timestamp::default());
        }
    }

    /// The same of all recipes: there are few.
    pub(crate) fn touch_all(&mut self) {
        let names: Vec<RecipeName> = self.upkeeps.keys().cloned().collect();
        names.iter().for_each(|name| self.touch(name));
    }

    pub(super) fn put_ami(&mut self, ami: &Arc<Ami>) {
        self.amis.insert(ami.id.clone(), Arc::clone(ami));
        self.touch(&ami.recipe);
    }

    pub(super) fn remove_ami(&mut self, id: &AmiId) {
        if let Some(ami) = self.amis.remove(id) {
            self.touch(&ami.recipe);
        }
        self.removals.remove(id.as_str());
    }

    fn forget_machines(&mut self, bake: &BakeId) {
        let before = self.bakes.get(bake);
        for machine in before.into_iter().flat_map(|before| before.phase.machines()) {
            self.machines.remove(machine);
        }
    }

    /// Whether the cloud may be asked about a bake.
    pub(crate) fn may_ask(&self, bake: &BakeId, now: Timestamp) -> bool {
        self.waits.get(bake).is_none_or(|wait| wait.not_before <= now)
    }

    /// Has the cloud not be asked about a bake for so long.
    pub(crate) fn wait(&mut self, bake: &BakeId, now: Timestamp, pause: Duration) {
        self.waits.insert(bake.clone(), Wait::patient(now + pause));
    }
}

impl Cluster {
    /// All bakes that are remembered, by id: those of a recipe in the order in which they began.
    #[must_use]
    pub const fn bakes(&self) -> &BTreeMap<BakeId, Arc<Bake>> {
        &self.bakes.bakes
    }

    /// All machine images that were baked.
    #[must_use]
    pub const fn amis(&self) -> &BTreeMap<AmiId, Arc<Ami>> {
        &self.bakes.amis
    }

    /// Recipes of which bakes begin by themselves.
    #[must_use]
    pub const fn upkeeps(&self) -> &BTreeMap<RecipeName, Arc<Upkeep>> {
        &self.bakes.upkeeps
    }

    /// The image of a recipe that was published last, and when.
    #[must_use]
    pub fn newest_image(&self, recipe: &RecipeName) -> Option<(&Arc<Ami>, Timestamp)> {
        let published = self.amis().values().filter(|ami| ami.recipe == *recipe);
        let published = published.filter_map(|ami| match ami.state {
            AmiState::Published { at, .. } => Some((ami, at)),
            AmiState::Quarantined | AmiState::Retired { .. } => None,
        });
        published.max_by_key(|(ami, at)| (*at, &ami.id))
    }

    /// The bake that a machine belongs to, if it is one of a bake that is not over. Such a machine is no node.
    #[must_use]
    pub fn bake_of(&self, machine: &NodeId) -> Option<&Arc<Bake>> {
        self.bakes.machines.get(machine).and_then(|id| self.bakes.bakes.get(id))
    }

    /// What the last request to the cloud came to, where it is to be made again. Not stored.
    #[must_use]
    pub fn bake_trouble(&self, bake: &BakeId) -> Option<&str> {
        let wait = self.bakes.waits.get(bake)?;
        Some(wait.trouble.as_str()).filter(|trouble| !trouble.is_empty())
    }

    /// Writes down what another copy of the cluster has heard of the cloud about bakes and does not store.
    pub(super) fn saw_bakes(&mut self, other: &Self) {
        self.bakes.waits.clone_from(&other.bakes.waits);
        self.bakes.leftovers.clone_from(&other.bakes.leftovers);
        self.bakes.removals.clone_from(&other.bakes.removals);
        self.bakes.looks.clone_from(&other.bakes.looks);
        self.bakes.sizes.clone_from(&other.bakes.sizes);
        self.bakes.release.clone_from(&other.bakes.release);
    }
}
