//! What is seen: of tasks, their containers, and nodes.

use model::node::{Availability, Drain, DrainCause, DrainPhase, Node};
use model::task::{ContainerStatus, Exit, FailureKind, Health, PublishedPort, TaskState};
use model::time::Timestamp;

use crate::convert::checks::{few, line, port, seen, text, word};
use crate::convert::container::{protocol_from_wire, protocol_to_wire};
use crate::convert::spec::{resources_from_wire, resources_to_wire};
use crate::convert::{At, Invalid, Named, Valid};
use crate::wire;

/// Reads a task state.
///
/// # Errors
/// When the state, or the health in it, is one that this version does not know.
pub fn state_from_wire(from: Option<&wire::TaskState>) -> Valid<TaskState> {
    use wire::task_state::Kind;
    Ok(match from.and_then(|from| from.kind.as_ref()).at("state")? {
        Kind::Pending(_) => TaskState::Pending,
        Kind::Assigned(_) => TaskState::Assigned,
        Kind::Fetching(_) => TaskState::Fetching,
        Kind::Preparing(_) => TaskState::Preparing,
        Kind::Running(running) => TaskState::Running {
            since: Timestamp::from_millis(running.since_ms),
            health: health_from_wire("state.health", running.health())?,
        },
        Kind::Completed(_) => TaskState::Completed,
        Kind::Failed(failed) => {
            TaskState::Failed { kind: kind_from_wire(failed.kind())?, reason: seen(&failed.reason) }
        }
        Kind::Lost(_) => TaskState::Lost,
    })
}

/// Writes a task state.
#[must_use]
pub fn state_to_wire(state: &TaskState) -> wire::TaskState {
    use wire::task_state::Kind;
    let kind = match state {
        TaskState::Pending => Kind::Pending(wire::Pending {}),
        TaskState::Assigned => Kind::Assigned(wire::Assigned {}),
        TaskState::Fetching => Kind::Fetching(wire::Fetching {}),
        TaskState::Preparing => Kind::Preparing(wire::Preparing {}),
        TaskState::Running { since, health } => {
            let health = health_to_wire(*health).into();
            Kind::Running(wire::Running { since_ms: since.as_millis(), health })
        }
        TaskState::Completed => Kind::Completed(wire::Completed {}),
        TaskState::Failed { kind, reason } => {
            let kind = kind_to_wire(*kind).into();
            Kind::Failed(wire::Failed { kind, reason: reason.clone() })
        }
        TaskState::Lost => Kind::Lost(wire::Lost {}),
    };
    wire::TaskState { kind: Some(kind) }
}

fn kind_from_wire(from: wire::FailureKind) -> Valid<FailureKind> {
    match from {
        wire::FailureKind::Application => Ok(FailureKind::Application),
        wire::FailureKind::Image => Ok(FailureKind::Image),
        wire::FailureKind::Host => Ok(FailureKind::Host),
        wire::FailureKind::Unspecified => None.at("state.kind"),
    }
}

const fn kind_to_wire(kind: FailureKind) -> wire::FailureKind {
    match kind {
        FailureKind::Application => wire::FailureKind::Application,
        FailureKind::Image => wire::FailureKind::Image,
        FailureKind::Host => wire::FailureKind::Host,
    }
}

fn health_from_wire(path: &str, from: wire::Health) -> Valid<Health> {
    match from {
        wire::Health::Unchecked => Ok(Health::Unchecked),
        wire::Health::Starting => Ok(Health::Starting),
        wire::Health::Healthy => Ok(Health::Healthy),
        wire::Health::Unhealthy => Ok(Health::Unhealthy),
        wire::Health::Unspecified => None.at(path),
    }
}

const fn health_to_wire(health: Health) -> wire::Health {
    match health {
        Health::Unchecked => wire::Health::Unchecked,
        Health::Starting => wire::Health::Starting,
        Health::Healthy => wire::Health::Healthy,
        Health::Unhealthy => wire::Health::Unhealthy,
    }
}

/// Reads what was seen of the containers of a task.
///
/// # Errors
/// Names the first field that is not valid.
pub fn containers_from_wire(from: &[wire::ContainerStatus]) -> Valid<Vec<ContainerStatus>> {
    few("containers", from.len())?;
    let read = |from: &wire::ContainerStatus| {
        Ok(ContainerStatus {
            name: from.name.named("containers.name")?,
            container_id: text("containers.id", &from.container_id)?,
            attempt: from.attempt,
            started_at: from.started_at_ms.map(Timestamp::from_millis),
            exit: from.exit.as_ref().map(exit_from_wire),
            health: health_from_wire("containers.health", from.health())?,
            ports: from.ports.iter().map(port_from_wire).collect::<Valid<_>>()?,
        })
    };
    from.iter().map(read).collect()
}

/// Writes what was seen of the containers of a task.
#[must_use]
pub fn containers_to_wire(containers: &[ContainerStatus]) -> Vec<wire::ContainerStatus> {
    let write = |status: &ContainerStatus| wire::ContainerStatus {
        name: status.name.to_string(),
        container_id: status.container_id.clone(),
        attempt: status.attempt,
        started_at_ms: status.started_at.map(Timestamp::as_millis),
        exit: status.exit.as_ref().map(exit_to_wire),
        health: health_to_wire(status.health).into(),
        ports: status.ports.iter().map(port_to_wire).collect(),
    };
    containers.iter().map(write).collect()
}

fn exit_from_wire(from: &wire::Exit) -> Exit {
    let at = Timestamp::from_millis(from.at_ms);
    Exit { code: from.code, is_oom: from.oom, error: seen(&from.error), at }
}

fn exit_to_wire(exit: &Exit) -> wire::Exit {
    let (error, at_ms) = (exit.error.clone(), exit.at.as_millis());
    wire::Exit { code: exit.code, oom: exit.is_oom, error, at_ms }
}

fn port_from_wire(from: &wire::PublishedPort) -> Valid<PublishedPort> {
    Ok(PublishedPort {
        container: port("containers.ports.container", from.container)?,
        host: port("containers.ports.host", from.host)?,
        protocol: protocol_from_wire("containers.ports.protocol", from.protocol)?,
    })
}

fn port_to_wire(port: &PublishedPort) -> wire::PublishedPort {
    wire::PublishedPort {
        container: port.container.into(),
        host: port.host.into(),
        protocol: protocol_to_wire(port.protocol),
    }
}

/// Reads a node.
///
/// # Errors
/// Names the first field that is not valid.
pub fn node_from_wire(from: &wire::Node) -> Valid<Node> {
    few("node.labels", from.labels.len())?;
    for (key, value) in &from.labels {
        word("node.labels", key)?;
        line("node.labels", value)?;
    }
    let availability = match from.availability() {
        wire::Availability::Active => Availability::Active,
        wire::Availability::Cordoned => Availability::Cordoned,
        wire::Availability::Dead => Availability::Dead,
        wire::Availability::Unspecified => return None.at("node.availability"),
    };
    let drain = from.drain.as_ref().map(drain_from_wire).transpose()?;
    if drain.is_some() && availability != Availability::Cordoned {
        let why = "is not cordoned, though the node is being drained";
        return Err(Invalid::new("node.availability", why));
    }
    Ok(Node {
        id: from.id.named("node.id")?,
        hostname: word("node.hostname", &from.hostname)?,
        engine: word("node.engine", &from.engine)?,
        zone: line("node.zone", &from.zone)?,
        arch: line("node.arch", &from.arch)?,
        labels: from.labels.clone(),
        capacity: resources_from_wire("capacity", from.capacity.as_ref())?,
        availability,
        pool: fact("node.pool", from.pool.as_ref())?,
        ami: fact("node.ami", from.ami.as_ref())?,
        instance_type: fact("node.instance_type", from.instance_type.as_ref())?,
        os: fact("node.os", from.os.as_ref())?,
        engine_version: fact("node.engine_version", from.engine_version.as_ref())?,
        kernel_version: fact("node.kernel_version", from.kernel_version.as_ref())?,
        preparing_until: from.preparing_until_ms.map(Timestamp::from_millis),
        drain,
    })
}

/// Something that is known of a node, or not: an empty text is nothing.
fn fact(path: &str, from: Option<&String>) -> Valid<Option<String>> {
    from.filter(|text| !text.is_empty()).map(|text| line(path, text)).transpose()
}

/// Reads who wants a node to be empty.
///
/// # Errors
/// When it is one that this version does not know.
pub fn drain_cause_from_wire(from: wire::DrainCause) -> Valid<DrainCause> {
    match from {
        wire::DrainCause::ScaleIn => Ok(DrainCause::ScaleIn),
        wire::DrainCause::Operator => Ok(DrainCause::Operator),
        wire::DrainCause::Refresh => Ok(DrainCause::Refresh),
        wire::DrainCause::AtRisk => Ok(DrainCause::AtRisk),
        wire::DrainCause::Terminating => Ok(DrainCause::Terminating),
        wire::DrainCause::Interrupted => Ok(DrainCause::Interrupted),
        wire::DrainCause::Unspecified => None.at("drain.cause"),
    }
}

/// Writes who wants a node to be empty.
#[must_use]
pub const fn drain_cause_to_wire(cause: DrainCause) -> wire::DrainCause {
    match cause {
        DrainCause::ScaleIn => wire::DrainCause::ScaleIn,
        DrainCause::Operator => wire::DrainCause::Operator,
        DrainCause::Refresh => wire::DrainCause::Refresh,
        DrainCause::AtRisk => wire::DrainCause::AtRisk,
        DrainCause::Terminating => wire::DrainCause::Terminating,
        DrainCause::Interrupted => wire::DrainCause::Interrupted,
    }
}

fn drain_from_wire(from: &wire::Drain) -> Valid<Drain> {
    let since = Timestamp::from_millis(from.phase_since_ms);
    let phase = match from.phase() {
        wire::DrainPhase::Moving => DrainPhase::Moving,
        wire::DrainPhase::Forced => DrainPhase::Forced { since },
        wire::DrainPhase::Drained => DrainPhase::Drained { since },
        wire::DrainPhase::Unspecified => return None.at("node.drain.phase"),
    };
    Ok(Drain {
        cause: drain_cause_from_wire(from.cause())?,
        since: Timestamp::from_millis(from.since_ms),
        deadline: Timestamp::from_millis(from.deadline_ms),
        phase,
    })
}

fn drain_to_wire(drain: &Drain) -> wire::Drain {
    let (phase, phase_since) = match drain.phase {
        DrainPhase::Moving => (wire::DrainPhase::Moving, Timestamp::default()),
        DrainPhase::Forced { since } => (wire::DrainPhase::Forced, since),
        DrainPhase::Drained { since } => (wire::DrainPhase::Drained, since),
    };
    wire::Drain {
        cause: drain_cause_to_wire(drain.cause).into(),
        since_ms: drain.since.as_millis(),
        deadline_ms: drain.deadline.as_millis(),
        phase: phase.into(),
        phase_since_ms: phase_since.as_millis(),
    }
}

/// Writes a node.
#[must_use]
pub fn node_to_wire(node: &Node) -> wire::Node {
    let availability = match node.availability {
        Availability::Active => wire::Availability::Active,
        Availability::Cordoned => wire::Availability::Cordoned,
        Availability::Dead => wire::Availability::Dead,
    };
    wire::Node {
        id: node.id.to_string(),
        hostname: node.hostname.clone(),
        engine: node.engine.clone(),
        zone: node.zone.clone(),
        arch: node.arch.clone(),
        labels: node.labels.clone(),
        capacity: Some(resources_to_wire(&node.capacity)),
        availability: availability.into(),
        pool: node.pool.clone(),
        ami: node.ami.clone(),
        instance_type: node.instance_type.clone(),
        os: node.os.clone(),
        engine_version: node.engine_version.clone(),
        kernel_version: node.kernel_version.clone(),
        preparing_until_ms: node.preparing_until.map(Timestamp::as_millis),
        drain: node.drain.as_ref().map(drain_to_wire),
    }
}
