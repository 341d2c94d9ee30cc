//! Forgets versions of secrets that nobody needs any more.

use std::sync::Arc;

use model::secret::Secret;
use model::time::Timestamp;

use crate::cluster::{Change, Cluster};
use crate::draft::Draft;

/// What is left over. Of most secrets there is one version, and nothing to look for.
fn leftovers(cluster: &Cluster) -> impl Iterator<Item = Secret> {
    let several = cluster.secrets().values().filter(|secret| secret.versions.len() > 1);
    several.filter_map(|secret| cluster.pruned(secret))
}

/// Comes last: what ends a task may have been its last need for a version.
pub(crate) fn pass(draft: &mut Draft<'_>) {
    let pruned: Vec<Secret> = leftovers(draft.cluster).take(draft.room()).collect();
    for secret in pruned {
        draft.write(Change::PutSecret(Arc::new(secret)));
    }
}

/// What did not fit into this step is done in the next.
pub(crate) fn next(cluster: &Cluster, now: Timestamp) -> Option<Timestamp> {
    leftovers(cluster).next().map(|_| now)
}
