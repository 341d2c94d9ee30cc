//! What the coordinator says, as JSON with names that stay.

mod job;

use proto::wire;
use serde_json::{Value, json};

pub(crate) use job::{active_run, cause, past_run, verdict};

use crate::output::instant;

pub(crate) fn task_state(state: Option<&wire::TaskState>) -> &'static str {
    use wire::task_state::Kind;
    match state.and_then(|state| state.kind.as_ref()) {
        Some(Kind::Pending(_)) => "pending",
        Some(Kind::Assigned(_)) => "assigned",
        Some(Kind::Fetching(_)) => "fetching",
        Some(Kind::Preparing(_)) => "preparing",
        Some(Kind::Running(_)) => "running",
        Some(Kind::Completed(_)) => "completed",
        Some(Kind::Failed(_)) => "failed",
        Some(Kind::Lost(_)) => "lost",
        None => "unknown",
    }
}

pub(crate) fn health(health: wire::Health) -> &'static str {
    match health {
        wire::Health::Unspecified => "unknown",
        wire::Health::Unchecked => "unchecked",
        wire::Health::Starting => "starting",
        wire::Health::Healthy => "healthy",
        wire::Health::Unhealthy => "unhealthy",
    }
}

pub(crate) fn task_health(task: &wire::Task) -> &'static str {
    match task.state.as_ref().and_then(|state| state.kind.as_ref()) {
        Some(wire::task_state::Kind::Running(running)) => health(running.health()),
        _ => "unknown",
    }
}

/// What runs, by digest.
pub(crate) fn image(image: Option<&wire::Image>) -> String {
    let Some(image) = image else { return String::new() };
    let name = image.reference.split('@').next().unwrap_or_default();
    match &image.pin {
        Some(wire::image::Pin::Manifest(digest) | wire::image::Pin::Local(digest)) => {
            format!("{name}@{digest}")
        }
        None => image.reference.clone(),
    }
}

pub(crate) fn slot(slot: Option<&wire::Slot>) -> String {
    match slot.and_then(|slot| slot.kind.as_ref()) {
        Some(wire::slot::Kind::Replica(number)) => number.to_string(),
        Some(wire::slot::Kind::Node(node)) => node.clone(),
        Some(wire::slot::Kind::RunReplica(slot)) => slot.number.to_string(),
        Some(wire::slot::Kind::RunNode(slot)) => slot.node.clone(),
        None => String::new(),
    }
}

/// The run of a job that a slot belongs to.
fn run(slot: Option<&wire::Slot>) -> Option<u64> {
    match slot?.kind.as_ref()? {
        wire::slot::Kind::RunReplica(slot) => Some(slot.run),
        wire::slot::Kind::RunNode(slot) => Some(slot.run),
        wire::slot::Kind::Replica(_) | wire::slot::Kind::Node(_) => None,
    }
}

const fn protocol(protocol: wire::Protocol) -> &'static str {
    match protocol {
        wire::Protocol::Udp => "udp",
        wire::Protocol::Tcp | wire::Protocol::Unspecified => "tcp",
    }
}

fn port(port: &wire::PublishedPort) -> Value {
    json!({ "container": port.container, "host": port.host, "protocol": protocol(port.protocol()) })
}

fn exit(exit: Option<&wire::Exit>) -> Value {
    exit.map_or(Value::Null, |exit| {
        json!({ "code": exit.code, "oom": exit.oom, "error": exit.error, "at": instant(exit.at_ms) })
    })
}

fn container(status: &wire::ContainerStatus) -> Value {
    json!({
        "name": status.name,
        "container_id": status.container_id,
        "attempt": status.attempt,
        "started_at": status.started_at_ms.map(instant),
        "exit": exit(status.exit.as_ref()),
        "health": health(status.health()),
        "ports": status.ports.iter().map(port).collect::<Vec<_>>(),
    })
}

pub(crate) fn reason(task: &wire::Task) -> String {
    match task.state.as_ref().and_then(|state| state.kind.as_ref()) {
        Some(wire::task_state::Kind::Failed(failed)) => failed.reason.clone(),
        _ => task.note.clone(),
    }
}

pub(crate) fn task(view: &wire::TaskView) -> Value {
    let task = view.task.clone().unwrap_or_default();
    let spec = task
        .generation
        .as_ref()
        .and_then(|one| one.spec.as_ref())
        .and_then(|spec| spec.task.as_ref());
    let images = spec.map(|spec| {
        spec.containers.iter().map(|one| image(one.image.as_ref())).collect::<Vec<_>>()
    });
    let started = task.containers.iter().filter_map(|one| one.started_at_ms).max();
    let ended = task.containers.iter().find_map(|one| one.exit.as_ref());
    json!({
        "id": task.id,
        "project": task.project,
        "service": task.service,
        "slot": slot(task.slot.as_ref()),
        "run": run(task.slot.as_ref()),
        "ended_at": task.ended_at_ms.map(instant),
        "generation": task.generation.as_ref().map(|generation| generation.number),
        "node": task.node,
        "state": task_state(task.state.as_ref()),
        "desired": if task.desired() == wire::Desired::Stop { "stop" } else { "run" },
        "health": task_health(&task),
        "image": images.as_ref().and_then(|images| images.first()),
        "images": images,
        "ports": task.containers.iter().flat_map(|one| &one.ports).map(port).collect::<Vec<_>>(),
        "containers": task.containers.iter().map(container).collect::<Vec<_>>(),
        "created_at": instant(task.created_at_ms),
        "started_at": started.map(instant),
        "exit": exit(ended),
        "restarts": task.restarts,
        "note": reason(&task),
        "stale_seconds": view.stale_seconds,
        "address": view.address,
    })
}

pub(crate) fn phase(service: &wire::Service) -> &'static str {
    use wire::service::Phase;
    match &service.phase {
        Some(Phase::Rolling(_)) => "rolling",
        Some(Phase::Steady(_)) => "steady",
        Some(Phase::Halted(_)) => "halted",
        Some(Phase::Removing(_)) => "removing",
        None => "unknown",
    }
}

pub(crate) fn origin(generation: &wire::Generation) -> String {
    match generation.origin() {
        wire::Origin::Deployed => "deployed".to_owned(),
        wire::Origin::Scaled => "scaled".to_owned(),
        wire::Origin::Restarted => "restarted".to_owned(),
        wire::Origin::RolledBack => format!("back to {}", generation.rolled_back_to),
        wire::Origin::Unspecified => "unknown".to_owned(),
    }
}

pub(crate) fn generation(generation: &wire::Generation) -> Value {
    let task = generation.spec.as_ref().and_then(|spec| spec.task.as_ref());
    let containers = task.map(|task| &task.containers).into_iter().flatten();
    let container =
        |one: &wire::ContainerSpec| json!({ "name": one.name, "image": image(one.image.as_ref()) });
    json!({
        "number": generation.number,
        "template": generation.template,
        "origin": origin(generation),
        "accepted_at": instant(generation.accepted_at_ms),
        "containers": containers.map(container).collect::<Vec<_>>(),
    })
}

pub(crate) fn service(view: &wire::ServiceView) -> Value {
    let service = view.service.clone().unwrap_or_default();
    let target = service.target.clone().unwrap_or_default();
    let spec = target.spec.clone().unwrap_or_default();
    let mode = match &spec.mode {
        Some(wire::service_spec::Mode::Replicated(_)) => "replicated",
        Some(wire::service_spec::Mode::Global(_)) => "global",
        Some(wire::service_spec::Mode::Once(_)) => "once",
        Some(wire::service_spec::Mode::Job(_)) => "job",
        None => "unknown",
    };
    json!({
        "id": format!("{}/{}", spec.project, spec.name),
        "project": spec.project,
        "service": spec.name,
        "mode": mode,
        "strategy": strategy(spec.strategy),
        "priority": priority(spec.priority),
        "rebalance": !spec.is_left_in_place,
        "phase": phase(&service),
        "desired": view.desired,
        "serving": view.serving,
        "updated": view.updated,
        "generation": generation(&target),
        "stable": service.stable.as_ref().map(|stable| stable.number),
        "rollout": rollout(view),
        "notes": view.notes,
        "job": job::job(view, &spec),
        "schedule": job::schedule(&spec),
    })
}

/// How its rollout goes, while there is one.
fn rollout(view: &wire::ServiceView) -> Value {
    use wire::rolling::{Pace, Stage};
    use wire::service::Phase;
    let phase = view.service.as_ref().and_then(|service| service.phase.as_ref());
    let (Some(Phase::Rolling(rolling)), Some(shown)) = (phase, &view.rollout) else {
        return Value::Null;
    };
    let stage = match rolling.stage {
        Some(Stage::Canary(_)) => "canary",
        Some(Stage::HoldingSinceMs(_)) => "holding",
        Some(Stage::SwitchingSinceMs(_)) => "switching",
        Some(Stage::KeepingSinceMs(_)) => "keeping",
        None => "everywhere",
    };
    let paused_since = match rolling.pace {
        Some(Pace::PausedSinceMs(since)) => Some(instant(since)),
        Some(Pace::GoingSinceMs(_)) | None => None,
    };
    json!({
        "stage": stage,
        "since": instant(rolling.since_ms),
        "paused_since": paused_since,
        "slots": shown.admitted,
        "settled": shown.settled,
        "held": shown.held,
    })
}

fn strategy(strategy: Option<i32>) -> &'static str {
    match strategy.map(wire::Strategy::try_from) {
        None | Some(Ok(wire::Strategy::Spread)) => "spread",
        Some(Ok(wire::Strategy::Binpack)) => "binpack",
        Some(Ok(wire::Strategy::Unspecified) | Err(_)) => "unknown",
    }
}

fn priority(priority: Option<i32>) -> &'static str {
    match priority.map(wire::Priority::try_from) {
        Some(Ok(wire::Priority::Low)) => "low",
        None | Some(Ok(wire::Priority::Normal)) => "normal",
        Some(Ok(wire::Priority::High)) => "high",
        Some(Ok(wire::Priority::Critical)) => "critical",
        Some(Ok(wire::Priority::Unspecified) | Err(_)) => "unknown",
    }
}

pub(crate) const fn node_state(state: wire::NodeState) -> &'static str {
    match state {
        wire::NodeState::Unspecified => "unknown",
        wire::NodeState::Joining => "joining",
        wire::NodeState::Ready => "ready",
        wire::NodeState::Suspect => "suspect",
        wire::NodeState::Unreachable => "unreachable",
        wire::NodeState::Returning => "returning",
        wire::NodeState::Wedged => "wedged",
        wire::NodeState::Draining => "draining",
        wire::NodeState::Drained => "drained",
        wire::NodeState::Dead => "dead",
    }
}

fn resources(resources: Option<&wire::Resources>) -> Value {
    let resources = resources.copied().unwrap_or_default();
    json!({
        "cpu_millis": resources.cpu_millis,
        "memory_bytes": resources.memory_bytes,
        "gpus": resources.gpus,
        "disk_bytes": resources.disk_bytes,
        "pids": resources.pids,
    })
}

pub(crate) fn availability(node: &wire::Node) -> &'static str {
    match node.availability() {
        wire::Availability::Active => "active",
        wire::Availability::Cordoned => "cordoned",
        wire::Availability::Dead => "dead",
        wire::Availability::Unspecified => "unknown",
    }
}

pub(crate) fn usage(usage: &wire::HostUsage) -> Value {
    json!({
        "cpu_millis": usage.cpu_millis,
        "cpu_capacity_millis": usage.cpu_capacity_millis,
        "memory_bytes": usage.memory_bytes,
        "memory_capacity_bytes": usage.memory_capacity_bytes,
        "disk_bytes": usage.disk_bytes,
        "disk_capacity_bytes": usage.disk_capacity_bytes,
        "network_received_bytes_per_second": usage.network_received_bytes_per_second,
        "network_sent_bytes_per_second": usage.network_sent_bytes_per_second,
        "load_1m": f64::from(usage.load_1m_hundredths) / 100.0,
        "cpu_pressure_percent": usage.cpu_pressure.map(|share| f64::from(share) / 100.0),
        "memory_pressure_percent": usage.memory_pressure.map(|share| f64::from(share) / 100.0),
        "io_pressure_percent": usage.io_pressure.map(|share| f64::from(share) / 100.0),
    })
}

fn drain(node: &wire::Node, view: &wire::DrainView) -> Value {
    let drain = node.drain.unwrap_or_default();
    let left = |one: &wire::Leaving| json!({ "task": one.task, "waits_for": one.waits_for });
    json!({
        "phase": match drain.phase() {
            wire::DrainPhase::Moving => "moving",
            wire::DrainPhase::Forced => "forced",
            wire::DrainPhase::Drained => "drained",
            wire::DrainPhase::Unspecified => "unknown",
        },
        "since": instant(drain.since_ms),
        "deadline": instant(drain.deadline_ms),
        "blocked": view.blocked,
        "left": view.left.iter().map(left).collect::<Vec<_>>(),
    })
}

pub(crate) fn node(view: &wire::NodeView) -> Value {
    let node = view.node.clone().unwrap_or_default();
    json!({
        "id": node.id,
        "hostname": node.hostname,
        "engine": node.engine,
        "zone": node.zone,
        "pool": node.pool,
        "ami": node.ami,
        "instance_type": node.instance_type,
        "arch": node.arch,
        "os": node.os,
        "kernel_version": node.kernel_version,
        "labels": node.labels,
        "state": node_state(view.state()),
        "availability": availability(&node),
        "drain": view.drain.as_ref().map(|view| drain(&node, view)),
        "tasks": view.tasks,
        "capacity": resources(node.capacity.as_ref()),
        "reserved": resources(view.reserved.as_ref()),
        "heard_ms_ago": view.heard_ms_ago,
        "usage": view.usage.as_ref().map(usage),
        "agent_version": view.agent_version,
        "engine_version": view.engine_version,
        "address": view.address,
        "note": view.note,
    })
}
