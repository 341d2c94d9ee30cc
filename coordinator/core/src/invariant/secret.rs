//! What must hold of secrets.

use std::collections::{BTreeMap, BTreeSet};

use model::id::SecretName;

use crate::cluster::Cluster;

pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut pins: BTreeMap<(SecretName, u64), usize> = BTreeMap::new();
    for task in cluster.tasks().values().filter(|task| !task.state.is_final()) {
        let named = task.generation.spec.task.secrets();
        if named != task.secrets.keys().collect::<BTreeSet<_>>() {
            broken.push(format!("{} is not to have the secrets that its spec names", task.id));
        }
        for (name, version) in &task.secrets {
            *pins.entry((name.clone(), *version)).or_default() += 1;
            let secret = cluster.secrets().get(name);
            if secret.and_then(|secret| secret.version(*version)).is_none() {
                broken.push(format!("{} needs version {version} of {name}: it is gone", task.id));
            }
        }
    }
    if pins != *cluster.all_pins() {
        broken.push("what tasks have of secrets is not what is counted".to_owned());
    }
    for service in cluster.services().values() {
        let generations = service.stable.iter().chain([&service.target]);
        let missing = generations.filter_map(|one| cluster.lacks_secret(&one.spec.task));
        for name in missing {
            broken.push(format!("{} refers to secret {name}, which is gone", service.id));
        }
    }
}
