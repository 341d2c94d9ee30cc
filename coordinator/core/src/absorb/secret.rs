//! Secrets as operators set them, and what that means for what runs.

use std::sync::Arc;

use model::id::{SecretName, ServiceId};
use model::secret::{Rotation, SECRETS_LIMIT, Secret, SecretVersion};
use model::service::{Origin, Service, ServicePhase};
use model::spec::Mode;
use model::task::{Task, TaskState};
use model::trust::ServiceGlob;

use super::target;
use crate::cluster::Change;
use crate::draft::Draft;
use crate::event::{Refusal, Reply, SecretEvent, SecretRefusal, SecretSet};

pub(super) fn absorb(draft: &mut Draft<'_>, event: &SecretEvent) -> Result<Reply, Refusal> {
    match event {
        SecretEvent::Set { name, version } => set(draft, name, version),
        SecretEvent::Own { name, owners } => own(draft, name, owners),
        SecretEvent::Remove(name) => remove(draft, name),
    }
    .map_err(Refusal::Secret)
}

fn set(
    draft: &mut Draft<'_>,
    name: &SecretName,
    version: &SecretVersion,
) -> Result<Reply, SecretRefusal> {
    let known = draft.cluster.secrets().get(name).cloned();
    let newest = known.as_ref().and_then(|known| known.versions.last());
    if let Some(newest) = newest.filter(|newest| newest.digest == version.digest) {
        let (restarted, signalled) = (Vec::new(), Vec::new());
        let version = newest.number;
        return Ok(Reply::SecretSet(SecretSet { version, is_new: false, restarted, signalled }));
    }
    if known.is_none() && draft.cluster.secrets().len() >= SECRETS_LIMIT {
        return Err(SecretRefusal::TooMany);
    }
    if version.number != newest.map_or(0, |newest| newest.number) + 1 {
        return Err(SecretRefusal::Overtaken(name.clone()));
    }
    let (mut versions, owners) =
        known.map(|known| (known.versions.clone(), known.owners.clone())).unwrap_or_default();
    versions.push(version.clone());
    let secret = Secret { name: name.clone(), versions, owners };
    draft.write(Change::PutSecret(Arc::new(secret)));
    let signalled = hand_over(draft, name, version.number);
    let restarted = restart(draft, name);
    let version = version.number;
    Ok(Reply::SecretSet(SecretSet { version, is_new: true, restarted, signalled }))
}

/// Gives the new version to tasks that nobody runs yet, and to those that take it while they run.
fn hand_over(draft: &mut Draft<'_>, name: &SecretName, version: u64) -> Vec<ServiceId> {
    let takes = |task: &&Arc<Task>| {
        let is_signalled = matches!(task.generation.spec.task.rotation, Rotation::Signal(_));
        task.secrets.contains_key(name)
            && !task.state.is_final()
            && (is_signalled || task.state == TaskState::Pending)
    };
    let tasks: Vec<Arc<Task>> = draft.cluster.tasks().values().filter(takes).cloned().collect();
    let mut signalled: Vec<ServiceId> = Vec::new();
    for task in tasks {
        let mut secrets = task.secrets.clone();
        secrets.insert(name.clone(), version);
        if task.state != TaskState::Pending && !signalled.contains(&task.service) {
            signalled.push(task.service.clone());
        }
        draft.put_task(Task { secrets, ..(*task).clone() });
    }
    signalled.sort();
    signalled
}

/// Has the tasks of services exchanged that are to have it at once. What runs to its end goes on with what it has.
fn restart(draft: &mut Draft<'_>, name: &SecretName) -> Vec<ServiceId> {
    let asks = |service: &&Arc<Service>| {
        let (spec, task) = (&service.target.spec, &service.target.spec.task);
        let stays = match spec.mode {
            Mode::Replicated { .. } | Mode::Global => true,
            Mode::Once | Mode::Job(_) => false,
        };
        let is_removed = service.phase == ServicePhase::Removing;
        stays && !is_removed && task.rotation == Rotation::Restart && task.secrets().contains(name)
    };
    let services: Vec<Arc<Service>> =
        draft.cluster.services().values().filter(asks).cloned().collect();
    for service in &services {
        let mut spec = service.target.spec.clone();
        spec.task.restarts_asked += 1;
        target(draft, service, spec, Origin::Restarted);
    }
    services.iter().map(|service| service.id.clone()).collect()
}

/// Says who may name it from now on. What was accepted with it keeps it.
fn own(
    draft: &mut Draft<'_>,
    name: &SecretName,
    owners: &[ServiceGlob],
) -> Result<Reply, SecretRefusal> {
    let Some(known) = draft.cluster.secrets().get(name).cloned() else {
        return Err(SecretRefusal::None(name.clone()));
    };
    if known.owners != owners {
        let secret = Secret { owners: owners.to_vec(), ..(*known).clone() };
        draft.write(Change::PutSecret(Arc::new(secret)));
    }
    Ok(Reply::Noted)
}

fn remove(draft: &mut Draft<'_>, name: &SecretName) -> Result<Reply, SecretRefusal> {
    if !draft.cluster.secrets().contains_key(name) {
        return Err(SecretRefusal::None(name.clone()));
    }
    let services = draft.cluster.services_with(name);
    if !services.is_empty() {
        return Err(SecretRefusal::Used(name.clone(), services));
    }
    draft.write(Change::RemoveSecret(name.clone()));
    Ok(Reply::Noted)
}
