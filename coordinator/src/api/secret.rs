//! Secrets: operators set them, agents are given what tasks of their own node are to have.

use std::sync::Arc;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, Reply, SecretEvent, SecretSet};
use coordinator_core::trust::Asked;
use coordinator_core::view::secret::secrets_for;
use model::id::{NodeId, SecretName, ServiceId, TaskId};
use model::secret::reference::ReferenceGlob;
use model::secret::{SECRET_LIMIT, Secret, SecretVersion};
use model::time::Timestamp;
use proto::convert::{allowance_from_wire, allowance_to_wire, owners_from_wire};
use proto::wire;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::Shared;
use crate::api::access::{Caller, by};
use crate::api::enrolment::refused;
use crate::api::{accepted, hinted, invalid, references, status};
use crate::audit::By;
use crate::authority::secret::SecretKeys;

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::secrets_server::Secrets for Secrets {
    async fn set_secret(
        &self,
        request: Request<wire::SetSecretRequest>,
    ) -> Result<Response<wire::SetSecretResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let name = named(&request.name)?;
        let owners = owners_from_wire(&request.owners).map_err(|error| invalid(&error))?;
        if name.reference().is_some() {
            let is_more = request.value.is_some() || !owners.is_empty();
            return if is_more { Err(kept(&name)) } else { self.look(&by, &name).await };
        }
        let value = request.value.map(|value| Zeroizing::new(value.value));
        let set = match value {
            Some(value) => self.set(&by, &name, &value).await?,
            None if owners.is_empty() => return Err(empty(&name)),
            None => self.as_it_is(&name)?,
        };
        // Until that is written a new one is nobody's.
        if !owners.is_empty() {
            let event = Event::Secret(SecretEvent::Own { name, owners });
            accepted(self.shared.door.ask_by(by, event).await)?;
        }
        Ok(Response::new(set))
    }

    async fn list_secrets(
        &self,
        request: Request<wire::ListSecretsRequest>,
    ) -> Result<Response<wire::ListSecretsResponse>, Status> {
        let name = request.into_inner().name;
        let state = self.shared.published.read();
        let all = state.cluster.secrets().values();
        let meant = all.filter(|secret| name.is_empty() || secret.name.as_str() == name);
        let secrets: Vec<_> = meant.map(|secret| self.view(&state.cluster, secret)).collect();
        if !name.is_empty() && secrets.is_empty() {
            return Err(unknown(&name));
        }
        let allowed = self.shared.ledgers.read().allowances().map(allowance_to_wire).collect();
        Ok(Response::new(wire::ListSecretsResponse { secrets, allowed }))
    }

    async fn allow_references(
        &self,
        request: Request<wire::AllowReferencesRequest>,
    ) -> Result<Response<wire::AllowReferencesResponse>, Status> {
        let by = by(&request)?;
        let wire::AllowReferencesRequest { references, services } = request.into_inner();
        let asked = if services.is_empty() {
            let references: Result<ReferenceGlob, _> = references.parse();
            let references =
                references.map_err(|error| Status::invalid_argument(error.to_string()));
            Asked::Disallow(references?)
        } else {
            let (made_by, why) = (by.who.clone(), by.why.clone());
            let allowance = wire::StoredAllowance { references, services, made_by, why };
            Asked::Allow(allowance_from_wire(&allowance).map_err(|error| invalid(&error))?)
        };
        let decided = self.shared.door.trust(asked, Some(by)).await;
        decided.map_err(|error| status(&error))?.map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(wire::AllowReferencesResponse {}))
    }

    async fn remove_secret(
        &self,
        request: Request<wire::RemoveSecretRequest>,
    ) -> Result<Response<wire::RemoveSecretResponse>, Status> {
        let by = by(&request)?;
        let name = named(&request.into_inner().name)?;
        let event = Event::Secret(SecretEvent::Remove(name));
        accepted(self.shared.door.ask_by(by, event).await)?;
        Ok(Response::new(wire::RemoveSecretResponse {}))
    }
}

impl Secrets {
    /// Gives it this value.
    async fn set(
        &self,
        by: &By,
        name: &SecretName,
        value: &[u8],
    ) -> Result<wire::SetSecretResponse, Status> {
        if value.len() > SECRET_LIMIT {
            let why = format!("secret {name} would have {} of {SECRET_LIMIT} bytes", value.len());
            return Err(hinted(
                Status::invalid_argument(why),
                "keep what is longer where programs fetch it, and the key to it here",
            ));
        }
        if value.is_empty() {
            return Err(empty(name));
        }
        let keys = self.shared.secret_keys()?;
        let known = self.shared.published.read().cluster.secrets().get(name).cloned();
        let number = known.map_or(0, |known| known.newest()) + 1;
        let version = keys.version((name, number), value, (&by.who, trust::now()));
        let version = version.map_err(|error| Status::internal(error.to_string()))?;
        let event = Event::Secret(SecretEvent::Set { name: name.clone(), version });
        let Reply::SecretSet(set) = accepted(self.shared.door.ask_by(by.clone(), event).await)?
        else {
            return Err(Status::internal("the answer is of something else"));
        };
        Ok(done(set))
    }

    /// Has a value that AWS keeps read now.
    async fn look(
        &self,
        by: &By,
        name: &SecretName,
    ) -> Result<Response<wire::SetSecretResponse>, Status> {
        let Some(reference) = name.reference() else { return Err(unknown(name.as_str())) };
        // What nobody has deployed is not read: it would be everybody's who may look.
        let as_it_is = self.as_it_is(name)?;
        let set = references::look(&self.shared, by, (name, &reference)).await?;
        Ok(Response::new(set.map_or(as_it_is, done)))
    }

    fn view(&self, cluster: &Cluster, secret: &Secret) -> wire::SecretView {
        let version = |version: &SecretVersion| wire::SecretVersionView {
            number: version.number,
            set_at_ms: version.set_at.as_millis(),
            set_by: version.set_by.clone(),
            digest: version.digest.clone(),
            tasks: u64::try_from(cluster.pins(&secret.name, version.number)).unwrap_or(u64::MAX),
            origin: version.origin.clone().unwrap_or_default(),
        };
        let reading = self.shared.fleet.as_ref().and_then(|fleet| fleet.reading(&secret.name));
        let ledger = self.shared.ledgers.read();
        let owners: Vec<String> = match secret.name.reference() {
            Some(reference) => ledger.owners(&reference).map(ToString::to_string).collect(),
            None => secret.owners.iter().map(ToString::to_string).collect(),
        };
        let services = cluster.services_with(&secret.name);
        wire::SecretView {
            name: secret.name.to_string(),
            versions: secret.versions.iter().map(version).collect(),
            services: services.iter().map(ToString::to_string).collect(),
            owners,
            read_at_ms: reading.as_ref().and_then(|one| one.read_at).map(Timestamp::as_millis),
            trouble: reading.and_then(|one| one.trouble).unwrap_or_default(),
        }
    }

    /// What there is to say of one that keeps its value.
    fn as_it_is(&self, name: &SecretName) -> Result<wire::SetSecretResponse, Status> {
        let known = self.shared.published.read().cluster.secrets().get(name).cloned();
        let version = known.ok_or_else(|| unknown(name.as_str()))?.newest();
        Ok(wire::SetSecretResponse { version, ..wire::SetSecretResponse::default() })
    }
}

fn done(set: SecretSet) -> wire::SetSecretResponse {
    let names = |services: Vec<ServiceId>| services.iter().map(ToString::to_string).collect();
    wire::SetSecretResponse {
        version: set.version,
        changed: set.is_new,
        restarted: names(set.restarted),
        signalled: names(set.signalled),
    }
}

fn kept(name: &SecretName) -> Status {
    hinted(
        Status::invalid_argument(format!("AWS keeps the value of {name}, and it is not set here")),
        "give it another value there; `wharf secret look` has it read at once, and `wharf secret allow` says who may name it",
    )
}

fn empty(name: &SecretName) -> Status {
    hinted(
        Status::invalid_argument(format!("the value of secret {name} is empty")),
        "give it on standard input, or in a file with --file",
    )
}

fn unknown(name: &str) -> Status {
    hinted(
        Status::not_found(format!("there is no secret {name}")),
        "`wharf secret ls` shows those that there are",
    )
}

fn named(name: &str) -> Result<SecretName, Status> {
    name.parse().map_err(|error: model::id::NameError| Status::invalid_argument(error.to_string()))
}

impl Shared {
    /// What secrets are sealed with.
    pub(crate) fn secret_keys(&self) -> Result<&SecretKeys, Status> {
        let trusted = self.trusted.as_ref().ok_or_else(|| {
            hinted(
                Status::failed_precondition(
                    "this coordinator runs with --plaintext and has no key to seal secrets with",
                ),
                "start it without --plaintext: docs/install.md says how",
            )
        });
        Ok(trusted?.authority.secret_keys())
    }
}

/// Gives an agent what a task of its own node is to have. Of any other nothing is said, not even whether it is there.
pub(crate) fn give(
    shared: &Shared,
    caller: &Caller,
    wanted: &wire::SecretsWanted,
) -> Result<wire::SecretsGiven, Status> {
    let node: NodeId = wanted
        .node
        .parse()
        .map_err(|error: model::id::NameError| Status::invalid_argument(error.to_string()))?;
    caller.is_node(&node)?;
    let denied = || {
        let task = &wanted.task;
        Status::permission_denied(format!(
            "task {task} does not run on node {node}: its secrets are not for it"
        ))
    };
    let task: TaskId = wanted.task.parse().map_err(|_| denied())?;
    let state = shared.published.read();
    let secrets = secrets_for(&state.cluster, &node, &task).ok_or_else(denied)?;
    let keys = shared.secret_keys()?;
    let give = |(secret, version): (&Arc<Secret>, &SecretVersion)| {
        let opened = keys.open((&secret.name, version.number), &version.sealed);
        let mut opened = opened.map_err(|error| Status::data_loss(error.to_string()))?;
        let value = wire::SecretValue { value: std::mem::take(&mut *opened) };
        Ok(wire::SecretGiven {
            name: secret.name.to_string(),
            version: version.number,
            value: Some(value),
        })
    };
    let secrets: Result<Vec<_>, Status> = secrets.into_iter().map(give).collect();
    Ok(wire::SecretsGiven { secrets: secrets? })
}
