//! An engine as an agent sees one: containers with names and states, images, host ports, and somebody else's containers
//! beside ours. What it answers is true at the instant of the answer; how late it arrives is the world's business.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::image::own_volume;
use model::spec::{ContainerSpec, HealthCheck, MountSource, Probe};
use model::task::{Exit, Health, PublishedPort};
use model::time::Timestamp;

use crate::agent_core::action::{Action, Fault, FaultKind, Launch, Outcome};
use crate::agent_core::observed::{Container, Status};

use super::specs;

/// A check says nothing for so long after a start.
const WARM_UP: Duration = Duration::from_secs(3);

/// A container as it truly is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) shown: Container,
    pub(crate) image: u32,
    /// Somebody else's: it carries other labels or none.
    pub(crate) is_foreign: bool,
    /// Its checks fail.
    pub(crate) is_sick: bool,
    /// Somebody froze it once: its checks may have failed for that.
    pub(crate) was_frozen: bool,
    check: Check,
    port: Option<u16>,
}

/// Who asks a container whether it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nobody,
    Agent,
    Engine,
}

impl Check {
    const fn of(health: Option<&HealthCheck>) -> Self {
        match health {
            None => Self::Nobody,
            Some(HealthCheck { probe: Probe::Command(_), .. }) => Self::Engine,
            Some(_) => Self::Agent,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Docker {
    pub(crate) is_up: bool,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) images: BTreeSet<u32>,
    /// As [`model::image::Stock`] names them.
    pub(crate) volumes: BTreeSet<String>,
}

impl Docker {
    pub(crate) const fn new() -> Self {
        let held = BTreeMap::new();
        Self { is_up: true, held, images: BTreeSet::new(), volumes: BTreeSet::new() }
    }

    /// What a list by our labels shows.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Container> {
        self.held.values().filter(|held| !held.is_foreign).map(|held| held.look(now)).collect()
    }

    pub(crate) fn look(&self, id: &str, now: Timestamp) -> Option<Container> {
        self.held.get(id).map(|held| held.look(now))
    }

    /// Containers of ours whose processes exist.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Held> {
        self.held.values().filter(|held| !held.is_foreign && held.shown.is_alive())
    }

    /// The checks of a container fail from now on, if it has any.
    pub(crate) fn sicken(&mut self, id: &str) {
        if let Some(held) = self.held.get_mut(id) {
            held.is_sick = held.check != Check::Nobody;
        }
    }

    /// Ends a container, if it lives.
    pub(crate) fn end(&mut self, id: &str, exit: Exit) {
        if let Some(held) = self.held.get_mut(id).filter(|held| held.shown.is_alive()) {
            held.shown.status = Status::Exited(exit);
        }
    }

    /// Does what is asked. `id` names the container, if one is made.
    pub(crate) fn perform(&mut self, action: &Action, id: String, now: Timestamp) -> Outcome {
        match action {
            Action::Pull { image } => {
                self.images.insert(specs::number_of(image));
                Outcome::Done
            }
            Action::Launch(launch) => self.launch(launch, id, now),
            Action::Stop { id, .. } => self.signal(id, exit(143, now), now),
            Action::Kill { id } => self.signal(id, exit(137, now), now),
            Action::Signal { id, .. } => self.answer(id, now),
            Action::Unpause { id } => {
                if let Some(held) = self.held.get_mut(id) {
                    held.shown.status = match &held.shown.status {
                        Status::Paused => Status::Running,
                        other => other.clone(),
                    };
                }
                self.answer(id, now)
            }
            Action::Remove { id } => self.remove(id),
            Action::Probe { id, probe, .. } => self.probe(id, probe, now),
        }
    }

    fn answer(&self, id: &str, now: Timestamp) -> Outcome {
        self.look(id, now).map_or(Outcome::Gone, |seen| Outcome::Now(Box::new(seen)))
    }

    fn signal(&mut self, id: &str, exit: Exit, now: Timestamp) -> Outcome {
        self.end(id, exit);
        self.answer(id, now)
    }

    fn remove(&mut self, id: &str) -> Outcome {
        match self.held.get(id) {
            None => Outcome::Gone,
            Some(held) if held.shown.is_alive() => {
                failed(FaultKind::Refused, "a container that runs is not removed")
            }
            Some(_) => {
                self.held.remove(id);
                Outcome::Done
            }
        }
    }

    fn probe(&self, id: &str, _: &Probe, now: Timestamp) -> Outcome {
        let Some(held) = self.held.get(id) else { return Outcome::Gone };
        let is_warm = held.shown.started_at.is_some_and(|at| now.since(at) >= WARM_UP);
        if held.shown.status == Status::Running && is_warm && !held.is_sick {
            Outcome::Done
        } else {
            failed(FaultKind::Refused, "connection refused")
        }
    }

    fn launch(&mut self, launch: &Launch, id: String, now: Timestamp) -> Outcome {
        let spec = launch.spec.containers.iter().find(|spec| spec.name == launch.container);
        let Some(spec) = spec else { return failed(FaultKind::Refused, "no such container") };
        let image = specs::number_of(&spec.image);
        if !self.images.contains(&image) {
            return failed(FaultKind::ImageMissing, "no such image");
        }
        for mount in &spec.mounts {
            match &mount.source {
                MountSource::HostVolume { name } if !self.volumes.contains(name) => {
                    return failed(FaultKind::Engine, "no such volume");
                }
                MountSource::Volume { name } => {
                    self.volumes.insert(own_volume(&launch.project, name));
                }
                MountSource::HostVolume { .. }
                | MountSource::Bind { .. }
                | MountSource::Tmpfs { .. } => {}
            }
        }
        let name = format!("{}.{}.{}", launch.task, launch.container, launch.attempt);
        let known = self.held.values().find(|held| held.shown.name == name);
        let known = known.map(|held| held.shown.clone());
        let id = match known {
            Some(known) if known.status != Status::Created => return self.answer(&known.id, now),
            Some(known) if known.network_of == launch.network_of => known.id,
            other => {
                if let Some(stale) = other {
                    self.held.remove(&stale.id);
                }
                self.create(launch, &name, id)
            }
        };
        self.start(&id, now)
    }

    /// Makes a container without starting it.
    pub(crate) fn create(&mut self, launch: &Launch, name: &str, id: String) -> String {
        let spec = launch.spec.containers.iter().find(|spec| spec.name == launch.container);
        let spec = spec.expect("the caller found it");
        let shown = Container {
            id: id.clone(),
            name: name.to_owned(),
            task: launch.task.clone(),
            container: launch.container.clone(),
            attempt: launch.attempt,
            status: Status::Created,
            started_at: None,
            health: None,
            ports: published(spec, &id),
            network_of: launch.network_of.clone(),
        };
        let held = Held {
            shown,
            image: specs::number_of(&spec.image),
            is_foreign: false,
            is_sick: false,
            was_frozen: false,
            check: Check::of(spec.health.as_ref()),
            port: spec.ports.iter().find_map(|port| port.host),
        };
        self.held.insert(id.clone(), held);
        id
    }

    fn start(&mut self, id: &str, now: Timestamp) -> Outcome {
        let port = self.held.get(id).and_then(|held| held.port);
        let is_taken = |held: &Held| held.shown.is_alive() && held.port == port;
        if port.is_some() && self.held.values().any(is_taken) {
            self.held.remove(id);
            return failed(FaultKind::PortTaken, "the port is taken");
        }
        let owner = self.held.get(id).and_then(|held| held.shown.network_of.clone());
        let has_owner = |owner: &String| {
            self.held.get(owner).is_some_and(|owner| owner.shown.status == Status::Running)
        };
        if owner.is_some_and(|owner| !has_owner(&owner)) {
            self.held.remove(id);
            return failed(FaultKind::Engine, "the container to share a network with is not up");
        }
        if let Some(held) = self.held.get_mut(id) {
            held.shown.status = Status::Running;
            held.shown.started_at = Some(now);
        }
        self.answer(id, now)
    }

    /// Somebody else starts a container here. It looks like one of ours, but for the cluster that it belongs to.
    pub(crate) fn add_foreign(&mut self, id: String, mut shown: Container) {
        shown.id.clone_from(&id);
        shown.name = format!("foreign-{id}");
        let (is_sick, was_frozen, check) = (false, false, Check::Nobody);
        let held =
            Held { shown, image: 0, is_foreign: true, is_sick, was_frozen, check, port: None };
        self.held.insert(id, held);
    }
}

/// Where the ports of a container are found: where it asks for, or on one that nobody else has had.
fn published(spec: &ContainerSpec, id: &str) -> Vec<PublishedPort> {
    let number: String = id.chars().filter(char::is_ascii_digit).collect();
    let free = number.parse::<u16>().map_or(u16::MAX, |number| 20_000 + number % 40_000);
    let ports = spec.ports.iter().map(|port| {
        let (container, protocol) = (port.container, port.protocol);
        PublishedPort { container, host: port.host.unwrap_or(free), protocol }
    });
    ports.collect()
}

impl Held {
    /// Says whether requests to this port of the machine reach it.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.shown.ports.iter().any(|published| published.host == port)
    }

    pub(crate) fn look(&self, now: Timestamp) -> Container {
        let is_warm = self.shown.started_at.is_some_and(|at| now.since(at) >= WARM_UP);
        let health = match (is_warm, self.is_sick) {
            (true, true) => Health::Unhealthy,
            (true, false) => Health::Healthy,
            (false, _) => Health::Starting,
        };
        let health = (self.check == Check::Engine).then_some(health);
        Container { health, ..self.shown.clone() }
    }
}

pub(crate) const fn exit(code: i64, at: Timestamp) -> Exit {
    Exit { code, is_oom: false, error: String::new(), at }
}

pub(crate) fn failed(kind: FaultKind, message: &str) -> Outcome {
    Outcome::Failed(Fault { kind, message: message.to_owned() })
}
