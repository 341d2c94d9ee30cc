//! Which secrets a node may have, and which a service may name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, SecretName, TaskId};
use model::secret::{Secret, SecretVersion};
use model::service::{Generation, Service, ServicePhase};
use model::spec::ServiceSpec;
use model::task::DesiredState;
use model::time::Timestamp;
use model::trust::ServiceGlob;

use crate::cluster::Cluster;
use crate::trust::Ledger;

/// A value of AWS that no service names any more is kept for so long: what is deployed next may name it, and has it read before that.
const REFERENCE_KEPT: Duration = Duration::from_secs(3_600);

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

/// A secret that somebody may not give to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub secret: SecretName,
    /// The services that it is for.
    pub owners: Vec<ServiceGlob>,
}

/// Secrets that a spec names and that its service may not be given by somebody who may not set them. Where nobody has said whose a secret is
/// that is who has it already: what was deployed before goes on being deployed, and nobody else comes to it.
#[must_use]
pub fn kept_from(cluster: &Cluster, ledger: &Ledger, spec: &ServiceSpec) -> Vec<Kept> {
    let known =
        cluster.services().get(&spec.id).filter(|known| known.phase != ServicePhase::Removing);
    let had = known.map(|known| known.target.spec.task.secrets()).unwrap_or_default();
    let named = spec.task.secrets().into_iter().filter_map(|name| {
        let owners = match name.reference() {
            Some(reference) => ledger.owners(&reference).cloned().collect(),
            None => cluster.secrets().get(name)?.owners.clone(),
        };
        Some(Kept { secret: name.clone(), owners })
    });
    let is_given = |kept: &Kept| {
        if kept.owners.is_empty() {
            had.contains(&kept.secret)
        } else {
            kept.owners.iter().any(|owner| owner.matches(&spec.id))
        }
    };
    named.filter(|kept| !is_given(kept)).collect()
}

/// Values that AWS keeps, may change there, and that services have: all that is worth reading again.
#[must_use]
pub fn followed(cluster: &Cluster) -> BTreeSet<SecretName> {
    let moves = |name: &&SecretName| name.reference().is_some_and(|one| !one.is_fixed());
    let mut wanted: BTreeSet<SecretName> =
        cluster.secrets().keys().filter(moves).cloned().collect();
    if !wanted.is_empty() {
        let named = named_by(cluster, |service| {
            let runs = service.runs.active.iter().map(|run| &run.generation);
            service.stable.iter().chain([&service.target]).chain(runs).collect()
        });
        wanted.retain(|name| named.contains(name));
    }
    wanted
}

/// Values of AWS that no service names, nor has named in any generation that it could go back to, and that are not new.
#[must_use]
pub fn idle(cluster: &Cluster, now: Timestamp) -> Vec<SecretName> {
    let is_old = |secret: &&Arc<Secret>| {
        let newest = secret.versions.last();
        newest.is_some_and(|newest| now.since(newest.set_at) >= REFERENCE_KEPT)
            && secret.name.reference().is_some()
    };
    let old: Vec<&Arc<Secret>> = cluster.secrets().values().filter(is_old).collect();
    if old.is_empty() {
        return Vec::new();
    }
    let named = named_by(cluster, |service| {
        let runs = service.runs.active.iter().map(|run| &run.generation);
        let past = service.history.iter().map(|past| &past.generation);
        service.stable.iter().chain([&service.target]).chain(runs).chain(past).collect()
    });
    let idle = old.into_iter().filter(|secret| !named.contains(&secret.name));
    idle.map(|secret| secret.name.clone()).collect()
}

/// What these generations of each service name, and what tasks have.
fn named_by<'a>(
    cluster: &'a Cluster,
    generations: impl Fn(&'a Service) -> Vec<&'a Arc<Generation>>,
) -> BTreeSet<&'a SecretName> {
    let services = cluster.services().values();
    let specs = services.flat_map(|service| generations(service));
    let named = specs.flat_map(|generation| generation.spec.task.secrets());
    named.chain(cluster.all_pins().keys().map(|(name, _)| name)).collect()
}
