//! Makes a container with what it needs, and starts it. Doing it twice leaves one container.

mod body;
mod host_path;
mod strict;

use agent_core::action::{Fault, FaultKind, Launch, Outcome};
use agent_core::observed::Status;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use model::spec::{Attachment, ContainerSpec, Network};

use super::ask::{Trouble, ask, fault};
use super::{Docker, change, container, label, limit};
use crate::secrets;

/// A container that is there and has not been started, and what it is already connected to.
struct Prepared {
    id: String,
    networks: Vec<String>,
}

/// What is there after a container was asked for.
enum Made {
    /// It has to be started.
    Fresh(Prepared),
    /// It was started before.
    Started(Box<ContainerInspectResponse>),
}

/// What became of a launch.
#[derive(Debug)]
pub enum Launched {
    /// The engine has started the container of this id, and nobody has looked at it yet.
    Started(String),
    /// It is known how it is.
    Known(Outcome),
}

impl Docker {
    /// Makes and starts a container. To look at what was started is left to [`Docker::look_at`]: that waits for nothing
    /// the engine has little of, so that it needs no turn among the launches.
    pub async fn launch(&self, launch: &Launch) -> Launched {
        match self.try_launch(launch).await {
            Ok(launched) => launched,
            Err(fault) => {
                self.forget(launch);
                Launched::Known(Outcome::Failed(fault))
            }
        }
    }

    /// What was known from a while ago may be why it failed.
    fn forget(&self, launch: &Launch) {
        for spec in &launch.spec.containers {
            self.forget_image(&spec.image);
        }
        self.forget_networks(&launch.project);
    }

    /// Says how a container is that was launched.
    pub async fn look_at(&self, launched: Launched) -> Outcome {
        match launched {
            Launched::Started(id) => self.look(&id).await,
            Launched::Known(outcome) => outcome,
        }
    }

    async fn try_launch(&self, launch: &Launch) -> Result<Launched, Fault> {
        let containers = &launch.spec.containers;
        let spec =
            containers.iter().find(|spec| spec.name == launch.container).ok_or_else(|| {
                let (task, name) = (&launch.task, &launch.container);
                fault(
                    FaultKind::Refused,
                    format!("the spec of task {task} has no container {name}"),
                )
            })?;
        let networks = self.have_networks(launch).await?;
        match self.make(launch, spec, &networks).await? {
            Made::Started(inspect) => Ok(Launched::Known(change::now(*inspect))),
            Made::Fresh(made) => self.begin(launch, spec, (&made, &networks)).await,
        }
    }

    /// Has the networks that the container is to be connected to itself, in the order of the spec.
    async fn have_networks<'a>(
        &self,
        launch: &'a Launch,
    ) -> Result<Vec<(String, &'a Attachment)>, Fault> {
        let mut networks = Vec::new();
        for attachment in attachments(launch) {
            let name = self.have_network(&launch.project, &attachment.network).await?;
            networks.push((name, attachment));
        }
        Ok(networks)
    }

    async fn make(
        &self,
        launch: &Launch,
        spec: &ContainerSpec,
        networks: &[(String, &Attachment)],
    ) -> Result<Made, Fault> {
        host_path::check(spec).await?;
        self.have_volumes(launch, spec).await?;
        let image = self
            .known_image(&spec.image)
            .await
            .map_err(|trouble| trouble.into_fault("look for the image"))?;
        let image = image.ok_or_else(|| {
            let message =
                format!("image {} is not on this engine: it has to be pulled", spec.image);
            fault(FaultKind::ImageMissing, message)
        })?;
        strict::check(self, launch, spec, &image).await?;
        let mut body = body::body(self.settings(), launch, spec, &image);
        body.networking_config = body::first_network(networks);
        let hidden = self.hidden(launch, spec)?;
        body.env.get_or_insert_default().extend(hidden);
        self.limit_logs(&mut body);
        let name = label::container_name(self.settings(), launch);
        let gpus = spec.reservation.gpus;
        match self.create((&name, gpus), body.clone()).await {
            Ok(id) => Ok(Made::Fresh(Prepared { id, networks: first(networks) })),
            Err(trouble) if trouble.is_conflict() => {
                let adopted = Box::pin(self.adopt(launch, (&name, gpus), body)).await;
                adopted.map_err(|fault| explain(&trouble, fault))
            }
            Err(trouble) => Err(create_fault(trouble)),
        }
    }

    /// The variables whose values are secret. Whoever may ask the engine sees them, which the spec has asked for.
    fn hidden(&self, launch: &Launch, spec: &ContainerSpec) -> Result<Vec<String>, Fault> {
        let Some(root) = &self.settings().secrets else { return Ok(Vec::new()) };
        let read =
            |variable: &String| match secrets::variable(root, &launch.task, (&spec.name, variable))
            {
                Ok(value) if value.contains('\0') => {
                    let message =
                        format!("the secret of variable {variable} contains a NUL character");
                    Err(fault(FaultKind::Refused, message))
                }
                Ok(value) => Ok(format!("{variable}={}", *value)),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    let message = format!(
                        "the secret of variable {variable} is not text in UTF-8: have it as a file"
                    );
                    Err(fault(FaultKind::Refused, message))
                }
                Err(error) => {
                    let message =
                        format!("the secret of variable {variable} can not be read: {error}");
                    Err(fault(FaultKind::Unknown, message))
                }
            };
        spec.secrets.variables.keys().map(read).collect()
    }

    fn limit_logs(&self, body: &mut ContainerCreateBody) {
        if self.shared.api.writes_json_logs()
            && let Some(host) = &mut body.host_config
        {
            host.log_config = Some(body::bounded_logs());
        }
    }

    async fn create(
        &self,
        (name, gpus): (&str, u64),
        mut body: ContainerCreateBody,
    ) -> Result<String, Trouble> {
        let turn = if gpus > 0 { Some(self.shared.devices.lock().await) } else { None };
        if turn.is_some() {
            self.give_gpus((name, gpus), &mut body).await?;
        }
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let created = ask(limit::CREATE, self.client().create_container(Some(options), body));
        let created = created.await?;
        for warning in created.warnings {
            tracing::warn!(name, warning, "the engine has something to say about a container");
        }
        Ok(created.id)
    }

    /// Takes the container that has the name already, if it is the same. One that shares the network of a container
    /// that has been replaced since, and never started, is made anew.
    async fn adopt(
        &self,
        launch: &Launch,
        (name, gpus): (&str, u64),
        body: ContainerCreateBody,
    ) -> Result<Made, Fault> {
        let seen = self.inspect(name).await;
        let seen = seen.map_err(|trouble| busy(trouble.into_fault("inspect the container")))?;
        let labels = seen.config.as_ref().and_then(|config| config.labels.clone());
        if !label::is_same(self.settings(), launch, &labels.unwrap_or_default()) {
            let message =
                format!("a container named {name} is there already and is not this one: remove it");
            // Another node may do better.
            return Err(fault(FaultKind::Engine, message));
        }
        let known = container::read(seen.clone()).map_err(|why| fault(FaultKind::Refused, why))?;
        if known.status != Status::Created {
            return Ok(Made::Started(Box::new(seen)));
        }
        if known.network_of == launch.network_of {
            return Ok(Made::Fresh(Prepared { id: known.id, networks: connected(&seen) }));
        }
        self.discard(&known.id)
            .await
            .map_err(|trouble| trouble.into_fault("remove the container"))?;
        let networks = body.networking_config.as_ref().and_then(|all| all.endpoints_config.clone());
        let id = self.create((name, gpus), body).await.map_err(create_fault)?;
        let networks = networks.unwrap_or_default().into_keys().collect();
        Ok(Made::Fresh(Prepared { id, networks }))
    }

    /// Gives a container that never ran what it lacks, and starts it. If the engine says no the container goes again.
    async fn begin(
        &self,
        launch: &Launch,
        spec: &ContainerSpec,
        (made, networks): (&Prepared, &[(String, &Attachment)]),
    ) -> Result<Launched, Fault> {
        let missing = networks.iter().filter(|(name, _)| !made.networks.contains(name));
        let missing: Vec<_> = missing.collect();
        let started = async {
            for (name, attachment) in missing {
                self.connect_network(name, &made.id, attachment).await?;
            }
            self.upload(&made.id, spec).await?;
            self.start(&made.id).await
        };
        let Err(fault) = started.await else { return Ok(Launched::Started(made.id.clone())) };
        // After silence it may be running: the next try adopts it.
        if fault.kind != FaultKind::Unknown
            && let Err(trouble) = self.discard(&made.id).await
        {
            let (task, why) = (&launch.task, trouble.words());
            tracing::warn!(%task, why, "a container that did not start stays behind");
        }
        Err(fault)
    }

    async fn start(&self, id: &str) -> Result<(), Fault> {
        let starting = self.client().start_container(id, None::<StartContainerOptions>);
        ask(limit::START, starting).await.map_err(start_fault)
    }

    /// Removes a container that never ran.
    async fn discard(&self, id: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match ask(limit::REMOVE, self.client().remove_container(id, Some(options))).await {
            Err(trouble) if !trouble.is_missing() => Err(trouble),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What the container itself is connected to: nothing when it shares the network of another.
fn attachments(launch: &Launch) -> &[Attachment] {
    match &launch.spec.network {
        Network::Project(attachments) if launch.network_of.is_none() => attachments,
        Network::Project(_) | Network::Host | Network::None => &[],
    }
}

fn first(networks: &[(String, &Attachment)]) -> Vec<String> {
    networks.iter().take(1).map(|(name, _)| name.clone()).collect()
}

fn connected(seen: &ContainerInspectResponse) -> Vec<String> {
    let settings = seen.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    networks.map(|networks| networks.keys().cloned().collect()).unwrap_or_default()
}

/// A name that is taken by a container that vanished meanwhile is free the next time.
fn busy(found: Fault) -> Fault {
    let kind = if found.kind == FaultKind::Refused { FaultKind::Engine } else { found.kind };
    Fault { kind, ..found }
}

/// A conflict may be about something else than the name: then the engine's own words tell more than ours.
fn explain(trouble: &Trouble, found: Fault) -> Fault {
    if trouble.mentions("already in use by container") {
        return found;
    }
    fault(found.kind, format!("Docker could not make the container: {}", trouble.words()))
}

fn create_fault(trouble: Trouble) -> Fault {
    let kind = if trouble.mentions("no such image") {
        FaultKind::ImageMissing
    } else if trouble.is_missing() {
        // The network, or the container whose network it shares, went meanwhile.
        FaultKind::Engine
    } else {
        return trouble.into_fault("make the container");
    };
    fault(kind, format!("Docker could not make the container: {}", trouble.words()))
}

/// Tells apart why a container did not start. The engine has one status for most of it, so its words decide.
fn start_fault(trouble: Trouble) -> Fault {
    if matches!(trouble, Trouble::Silence(_)) {
        return trouble.into_fault("start the container");
    }
    let has = |texts: &[&str]| texts.iter().any(|text| trouble.mentions(text));
    let kind = if has(&["port is already allocated", "address already in use"]) {
        FaultKind::PortTaken
    } else if has(&["no space left"]) {
        FaultKind::DiskFull
    } else if has(&[
        "executable file not found",
        "no such file",
        "permission denied",
        "exec format",
    ]) && has(&["exec"])
    {
        let words = trouble.words();
        let message = format!("the command of the container can not be executed: {words}");
        return fault(FaultKind::Refused, message);
    } else if has(&["cannot assign requested address"]) {
        FaultKind::Refused
    } else if trouble.is_missing() || trouble.is_conflict() || has(&["ambiguous"]) {
        FaultKind::Engine
    } else {
        return trouble.into_fault("start the container");
    };
    fault(kind, format!("Docker could not start the container: {}", trouble.words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str) -> FaultKind {
        start_fault(Trouble::Answer { status, message: message.into() }).kind
    }

    #[test]
    fn reasons_not_to_start_are_told_apart() {
        let port = "driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:80 failed: port is already allocated";
        let proxy =
            "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use";
        let program = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/x\": stat /x: no such file or directory: unknown";
        let joined = "cannot join network of a non running container: abc";
        assert_eq!(kind(500, port), FaultKind::PortTaken);
        assert_eq!(kind(500, proxy), FaultKind::PortTaken);
        assert_eq!(kind(400, program), FaultKind::Refused);
        assert_eq!(kind(500, program), FaultKind::Refused);
        assert_eq!(kind(409, joined), FaultKind::Engine);
        assert_eq!(kind(500, "mkdir /var/lib/x: no space left on device"), FaultKind::DiskFull);
        assert_eq!(kind(500, "something else"), FaultKind::Engine);
    }
}
