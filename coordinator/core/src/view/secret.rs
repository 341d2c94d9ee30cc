//! Which secrets a node may have, and which a service may name.

use std::sync::Arc;

use model::id::{NodeId, TaskId};
use model::secret::{Secret, SecretVersion};
use model::service::ServicePhase;
use model::spec::ServiceSpec;
use model::task::DesiredState;

use crate::cluster::Cluster;

/// What a task is to have of secrets, for the node that it is on and nobody else: while it is to run there. None when it is not
/// that node's to know.
#[must_use]
pub fn secrets_for<'a>(
    cluster: &'a Cluster,
    node: &NodeId,
    task: &TaskId,
) -> Option<Vec<(&'a Arc<Secret>, &'a SecretVersion)>> {
    let task = cluster.tasks().get(task)?;
    let is_there = task.node.as_ref() == Some(node);
    let runs = task.desired == DesiredState::Run && !task.state.is_final();
    if !is_there {
        return None;
    }
    if !runs {
        return None;
    }
    let named = task.secrets.iter();
    named
        .map(|(name, version)| {
            let secret = cluster.secrets().get(name)?;
            Some((secret, secret.version(*version)?))
        })
        .collect()
}

/// Secrets that a spec names and that its service may not be given by somebody who may not set them. Where nobody has said whose a secret is
/// that is who has it already: what was deployed before goes on being deployed, and nobody else comes to it.
#[must_use]
pub fn kept_from<'a>(cluster: &'a Cluster, spec: &ServiceSpec) -> Vec<&'a Arc<Secret>> {
    let known =
        cluster.services().get(&spec.id).filter(|known| known.phase != ServicePhase::Removing);
    let had = known.map(|known| known.target.spec.task.secrets()).unwrap_or_default();
    let is_given = |secret: &Secret| {
        if secret.owners.is_empty() {
            had.contains(&secret.name)
        } else {
            secret.owners.iter().any(|owner| owner.matches(&spec.id))
        }
    };
    let named = spec.task.secrets().into_iter().filter_map(|name| cluster.secrets().get(name));
    named.filter(|secret| !is_given(secret)).collect()
}
