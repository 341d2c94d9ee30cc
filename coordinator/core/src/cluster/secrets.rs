//! Secrets, and how many tasks are to have each version of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{SecretName, ServiceId};
use model::secret::Secret;
use model::service::{Generation, Service};
use model::spec::TaskSpec;
use model::task::Task;

use super::{Change, Cluster};

/// What is known of secrets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    secrets: BTreeMap<SecretName, Arc<Secret>>,
    /// How many tasks that are not over are to have each version.
    pins: BTreeMap<(SecretName, u64), usize>,
}

impl Secrets {
    /// Writes a change that is about secrets.
    pub(super) fn put(&mut self, secret: &Arc<Secret>) {
        self.secrets.insert(secret.name.clone(), Arc::clone(secret));
    }

    pub(super) fn remove(&mut self, name: &SecretName) {
        self.secrets.remove(name);
    }

    /// Counts what a task is to have, as it was and as it is.
    pub(super) fn count(&mut self, before: Option<&Task>, after: Option<&Task>) {
        for (name, version) in pinned(after) {
            *self.pins.entry((name.clone(), *version)).or_default() += 1;
        }
        for (name, version) in pinned(before) {
            let pin = (name.clone(), *version);
            if let Some(count) = self.pins.get_mut(&pin) {
                *count -= 1;
                if *count == 0 {
                    self.pins.remove(&pin);
                }
            }
        }
    }
}

/// What a task is to have until it is over.
fn pinned(task: Option<&Task>) -> impl Iterator<Item = (&SecretName, &u64)> {
    task.into_iter().filter(|task| !task.state.is_final()).flat_map(|task| &task.secrets)
}

impl Cluster {
    /// All secrets by name.
    #[must_use]
    pub const fn secrets(&self) -> &BTreeMap<SecretName, Arc<Secret>> {
        &self.secrets.secrets
    }

    /// How many tasks that are not over are to have this version.
    #[must_use]
    pub fn pins(&self, secret: &SecretName, version: u64) -> usize {
        self.secrets.pins.get(&(secret.clone(), version)).copied().unwrap_or_default()
    }

    /// Each version that tasks are to have, and how many do.
    pub(crate) const fn all_pins(&self) -> &BTreeMap<(SecretName, u64), usize> {
        &self.secrets.pins
    }

    /// The newest version of each secret that a task of this spec names.
    pub(crate) fn newest_secrets(&self, spec: &TaskSpec) -> BTreeMap<SecretName, u64> {
        let known = spec.secrets().into_iter().filter_map(|name| self.secrets().get(name));
        known.map(|secret| (secret.name.clone(), secret.newest())).collect()
    }

    /// A secret that this spec names and that is not there.
    pub(crate) fn lacks_secret(&self, spec: &TaskSpec) -> Option<SecretName> {
        let mut named = spec.secrets().into_iter();
        named.find(|name| !self.secrets().contains_key(*name)).cloned()
    }

    /// The secret without the versions that nobody needs any more; none when each is needed.
    pub(crate) fn pruned(&self, secret: &Secret) -> Option<Secret> {
        let newest = secret.newest();
        let is_needed = |number| number == newest || self.pins(&secret.name, number) > 0;
        let versions = secret.versions.iter().filter(|version| is_needed(version.number));
        let versions: Vec<_> = versions.cloned().collect();
        (versions.len() < secret.versions.len()).then_some(Secret { versions, ..secret.clone() })
    }

    /// The services that refer to a secret: by what they are to run, by what they would go back to by themselves, by runs in
    /// progress, or by a task that is not over.
    #[must_use]
    pub fn services_with(&self, secret: &SecretName) -> Vec<ServiceId> {
        let refers = |service: &&Arc<Service>| {
            let task = |generation: &Generation| generation.spec.task.secrets().contains(secret);
            let runs = || service.runs.active.iter().map(|run| &run.generation);
            let mut generations = service.stable.iter().chain([&service.target]).chain(runs());
            generations.any(|generation| task(generation))
                || self
                    .tasks_of(&service.id)
                    .any(|task| !task.state.is_final() && task.secrets.contains_key(secret))
        };
        self.services().values().filter(refers).map(|service| service.id.clone()).collect()
    }

    /// Everything that is stored of secrets.
    pub(super) fn stored_secrets(&self) -> impl Iterator<Item = Change> {
        self.secrets().values().cloned().map(Change::PutSecret)
    }
}
