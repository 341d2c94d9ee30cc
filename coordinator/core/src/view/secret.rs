//! Which secrets a node may have.

use std::sync::Arc;

use model::id::{NodeId, TaskId};
use model::secret::{Secret, SecretVersion};
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
