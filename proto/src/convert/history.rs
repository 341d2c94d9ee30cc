//! What is stored: services with their generations, and tasks.

use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::service::{Generation, HISTORY_LIMIT, Origin, Past, Service, ServicePhase, Verdict};
use model::task::{DesiredState, StopCause, Task};
use model::time::Timestamp;

use crate::convert::checks::{count, seen};
use crate::convert::job::{runs_from_wire, runs_to_wire};
use crate::convert::rollout::{
    halted_stage_from_wire, halted_stage_to_wire, rollout_from_wire, rollout_to_wire,
};
use crate::convert::secret::{pins_from_wire, pins_to_wire};
use crate::convert::spec::accepted_from_wire;
use crate::convert::traffic::{traffic_from_wire, traffic_to_wire};
use crate::convert::{
    At, Invalid, Named, Valid, containers_from_wire, containers_to_wire, spec_to_wire,
    state_from_wire, state_to_wire,
};
use crate::wire;

/// Reads a generation.
///
/// # Errors
/// Names the first field that is not valid.
pub fn generation_from_wire(from: &wire::Generation) -> Valid<Generation> {
    read_generation(from).map_err(|invalid| invalid.within("generation"))
}

fn read_generation(from: &wire::Generation) -> Valid<Generation> {
    let number = count("number", from.number)?;
    if number == 0 {
        return Err(Invalid::new("number", "is 0: generations are counted from 1"));
    }
    if !(1..=number).contains(&from.template) {
        let why = format!("{} is no generation up to {number}", from.template);
        return Err(Invalid::new("template", why));
    }
    Ok(Generation {
        number,
        template: from.template,
        origin: origin_from_wire(from)?,
        accepted_at: Timestamp::from_millis(from.accepted_at_ms),
        spec: accepted_from_wire(from.spec.as_ref().at("spec")?)?,
    })
}

fn origin_from_wire(from: &wire::Generation) -> Valid<Origin> {
    match from.origin() {
        wire::Origin::Deployed => Ok(Origin::Deployed),
        wire::Origin::Scaled => Ok(Origin::Scaled),
        wire::Origin::Restarted => Ok(Origin::Restarted),
        wire::Origin::RolledBack if (1..from.number).contains(&from.rolled_back_to) => {
            Ok(Origin::RolledBack { to: from.rolled_back_to })
        }
        wire::Origin::RolledBack => {
            let why = format!("{} is no generation before {}", from.rolled_back_to, from.number);
            Err(Invalid::new("rolled_back_to", why))
        }
        wire::Origin::Unspecified => None.at("origin"),
    }
}

/// Writes a generation.
#[must_use]
pub fn generation_to_wire(generation: &Generation) -> wire::Generation {
    let (origin, rolled_back_to) = match generation.origin {
        Origin::Deployed => (wire::Origin::Deployed, 0),
        Origin::Scaled => (wire::Origin::Scaled, 0),
        Origin::Restarted => (wire::Origin::Restarted, 0),
        Origin::RolledBack { to } => (wire::Origin::RolledBack, to),
    };
    wire::Generation {
        number: generation.number,
        template: generation.template,
        origin: origin.into(),
        rolled_back_to,
        accepted_at_ms: generation.accepted_at.as_millis(),
        spec: Some(spec_to_wire(&generation.spec)),
    }
}

/// Reads a service.
///
/// # Errors
/// Names the first field that is not valid.
pub fn service_from_wire(from: &wire::Service) -> Valid<Service> {
    use wire::service::Phase;
    let phase = match from.phase.as_ref().at("service.phase")? {
        Phase::Rolling(rolling) => ServicePhase::Rolling(rollout_from_wire(rolling)),
        Phase::Steady(_) => ServicePhase::Steady,
        Phase::Halted(halted) => ServicePhase::Halted {
            reason: seen(&halted.reason),
            stage: halted_stage_from_wire(halted.stage.as_ref()),
        },
        Phase::Removing(_) => ServicePhase::Removing,
    };
    let target = read_generation(from.target.as_ref().at("service.target")?)
        .map_err(|invalid| invalid.within("service.target"))?;
    let stable = from.stable.as_ref().map(|stable| {
        let stable = read_generation(stable).and_then(|one| of_line(one, &target, target.number));
        stable.map_err(|invalid| invalid.within("service.stable"))
    });
    // A later version may have remembered more: the newest are kept.
    let excess = from.history.len().saturating_sub(HISTORY_LIMIT);
    let history = from.history.iter().skip(excess).map(|past| {
        past_from_wire(past, &target).map_err(|invalid| invalid.within("service.history"))
    });
    Ok(Service {
        id: target.spec.id.clone(),
        stable: stable.transpose()?.map(Arc::new),
        history: history.collect::<Valid<_>>()?,
        runs: runs_from_wire(from.runs.as_ref(), &target)
            .map_err(|invalid| invalid.within("service"))?,
        target: Arc::new(target),
        phase,
    })
}

/// The generations of a service are one line, and the target is its end.
fn of_line(generation: Generation, target: &Generation, newest: u64) -> Valid<Generation> {
    let (id, number) = (&generation.spec.id, generation.number);
    if *id != target.spec.id {
        let why = format!("is of {id}, and the target of {}", target.spec.id);
        return Err(Invalid::new("spec", why));
    }
    if number > newest {
        let why = format!("{number} is above {newest}, and the target is {}", target.number);
        return Err(Invalid::new("number", why));
    }
    Ok(generation)
}

/// Writes a service.
#[must_use]
pub fn service_to_wire(service: &Service) -> wire::Service {
    use wire::service::Phase;
    let phase = match &service.phase {
        ServicePhase::Rolling(rollout) => Phase::Rolling(rollout_to_wire(rollout)),
        ServicePhase::Steady => Phase::Steady(wire::Steady {}),
        ServicePhase::Halted { reason, stage } => {
            let (reason, stage) = (reason.clone(), halted_stage_to_wire(*stage));
            Phase::Halted(wire::Halted { reason, stage })
        }
        ServicePhase::Removing => Phase::Removing(wire::Removing {}),
    };
    wire::Service {
        target: Some(generation_to_wire(&service.target)),
        stable: service.stable.as_ref().map(|stable| generation_to_wire(stable)),
        history: service.history.iter().map(past_to_wire).collect(),
        phase: Some(phase),
        runs: runs_to_wire(&service.runs),
    }
}

fn past_from_wire(from: &wire::Past, target: &Generation) -> Valid<Past> {
    let verdict = match from.verdict() {
        wire::Verdict::Stable => Verdict::Stable,
        wire::Verdict::Failed => Verdict::Failed,
        wire::Verdict::Superseded => Verdict::Superseded,
        wire::Verdict::Aborted => Verdict::Aborted,
        wire::Verdict::Unspecified => return None.at("verdict"),
    };
    let generation = read_generation(from.generation.as_ref().at("generation")?);
    let generation = generation.and_then(|one| of_line(one, target, target.number - 1));
    let generation = generation.map_err(|invalid| invalid.within("generation"))?;
    Ok(Past { generation: Arc::new(generation), verdict })
}

fn past_to_wire(past: &Past) -> wire::Past {
    let verdict = match past.verdict {
        Verdict::Stable => wire::Verdict::Stable,
        Verdict::Failed => wire::Verdict::Failed,
        Verdict::Superseded => wire::Verdict::Superseded,
        Verdict::Aborted => wire::Verdict::Aborted,
    };
    let generation = Some(generation_to_wire(&past.generation));
    wire::Past { generation, verdict: verdict.into() }
}

/// Reads a task.
///
/// # Errors
/// Names the first field that is not valid.
pub fn task_from_wire(from: &wire::Task) -> Valid<Task> {
    let service = ServiceId {
        project: from.project.named("task.project")?,
        name: from.service.named("task.service")?,
    };
    let generation = read_generation(from.generation.as_ref().at("task.generation")?)
        .map_err(|invalid| invalid.within("task.generation"))?;
    if generation.spec.id != service {
        let id = &generation.spec.id;
        let why = format!("is of {id}, and project and service of the task are {service}");
        return Err(Invalid::new("task.generation.spec", why));
    }
    Ok(Task {
        id: from.id.named("task.id")?,
        service,
        slot: slot_from_wire(from.slot.as_ref())?,
        generation: Arc::new(generation),
        node: from.node.as_deref().map(|node| node.named("task.node")).transpose()?,
        room_on: from.room_on.as_deref().map(|node| node.named("task.room_on")).transpose()?,
        desired: desired_from_wire(from.desired(), (from.stop_cause(), from.patience_until_ms))?,
        state: state_from_wire(from.state.as_ref())?,
        restarts: from.restarts,
        note: seen(&from.note),
        containers: containers_from_wire(&from.containers)?,
        created_at: Timestamp::from_millis(from.created_at_ms),
        clock_since: from.clock_since_ms.map(Timestamp::from_millis),
        moving_since: from.moving_since_ms.map(Timestamp::from_millis),
        missed_at: from.missed_at_ms.map(Timestamp::from_millis),
        ended_at: from.ended_at_ms.map(Timestamp::from_millis),
        failures: from.failures,
        traffic: traffic_from_wire(from.traffic.as_ref()),
        secrets: pins_from_wire("task.secrets", &from.secrets)?,
    })
}

fn slot_from_wire(from: Option<&wire::Slot>) -> Valid<Slot> {
    use wire::slot::Kind;
    match from.and_then(|slot| slot.kind.as_ref()).at("task.slot")? {
        Kind::Replica(0) => Err(Invalid::new("task.slot", "is 0: replicas are counted from 1")),
        Kind::Replica(number) => Ok(Slot::Replica(*number)),
        Kind::Node(node) => Ok(Slot::Node(node.named("task.slot")?)),
        Kind::RunReplica(wire::RunReplica { run, number }) if *run > 0 && *number > 0 => {
            Ok(Slot::RunReplica { run: *run, number: *number })
        }
        Kind::RunNode(wire::RunNode { run, node }) if *run > 0 => {
            Ok(Slot::RunNode { run: *run, node: node.named("task.slot")? })
        }
        Kind::RunReplica(_) | Kind::RunNode(_) => {
            let why = "is 0: runs, and the slots of each, are counted from 1";
            Err(Invalid::new("task.slot", why))
        }
    }
}

/// Writes a task.
#[must_use]
pub fn task_to_wire(task: &Task) -> wire::Task {
    use wire::slot::Kind;
    let slot = match &task.slot {
        Slot::Replica(number) => Kind::Replica(*number),
        Slot::Node(node) => Kind::Node(node.to_string()),
        Slot::RunReplica { run, number } => {
            Kind::RunReplica(wire::RunReplica { run: *run, number: *number })
        }
        Slot::RunNode { run, node } => {
            Kind::RunNode(wire::RunNode { run: *run, node: node.to_string() })
        }
    };
    let (desired, stop_cause) = desired_to_wire(task.desired);
    wire::Task {
        id: task.id.to_string(),
        project: task.service.project.to_string(),
        service: task.service.name.to_string(),
        slot: Some(wire::Slot { kind: Some(slot) }),
        generation: Some(generation_to_wire(&task.generation)),
        node: task.node.as_ref().map(ToString::to_string),
        room_on: task.room_on.as_ref().map(ToString::to_string),
        desired: desired.into(),
        stop_cause: stop_cause.into(),
        state: Some(state_to_wire(&task.state)),
        restarts: task.restarts,
        note: task.note.clone(),
        containers: containers_to_wire(&task.containers),
        created_at_ms: task.created_at.as_millis(),
        clock_since_ms: task.clock_since.map(Timestamp::as_millis),
        moving_since_ms: task.moving_since.map(Timestamp::as_millis),
        missed_at_ms: task.missed_at.map(Timestamp::as_millis),
        ended_at_ms: task.ended_at.map(Timestamp::as_millis),
        failures: task.failures,
        secrets: pins_to_wire(&task.secrets),
        patience_until_ms: task.desired.patience().map(Timestamp::as_millis),
        traffic: traffic_to_wire(task.traffic),
    }
}

pub(crate) fn desired_from_wire(
    desired: wire::Desired,
    (cause, patience): (wire::StopCause, Option<u64>),
) -> Valid<DesiredState> {
    match desired {
        wire::Desired::Run => return Ok(DesiredState::Run),
        wire::Desired::Stop => {}
        wire::Desired::Unspecified => return None.at("desired"),
    }
    let cause = match cause {
        wire::StopCause::Operator => StopCause::Operator,
        wire::StopCause::Update => StopCause::Update,
        wire::StopCause::Duplicate => StopCause::Duplicate,
        wire::StopCause::Ended => StopCause::Ended,
        wire::StopCause::NodeDead => StopCause::NodeDead,
        wire::StopCause::Drain => StopCause::Drain,
        wire::StopCause::Balance => StopCause::Balance,
        wire::StopCause::Preemption => StopCause::Preemption,
        wire::StopCause::RunOver => StopCause::RunOver,
        wire::StopCause::Unspecified => {
            let why = "is missing or unknown to this version, and what is desired is to stop";
            return Err(Invalid::new("stop_cause", why));
        }
    };
    Ok(DesiredState::Stop { cause, patience: patience.map(Timestamp::from_millis) })
}

pub(crate) const fn desired_to_wire(desired: DesiredState) -> (wire::Desired, wire::StopCause) {
    let DesiredState::Stop { cause, .. } = desired else {
        return (wire::Desired::Run, wire::StopCause::Unspecified);
    };
    let cause = match cause {
        StopCause::Operator => wire::StopCause::Operator,
        StopCause::Update => wire::StopCause::Update,
        StopCause::Duplicate => wire::StopCause::Duplicate,
        StopCause::Ended => wire::StopCause::Ended,
        StopCause::NodeDead => wire::StopCause::NodeDead,
        StopCause::Drain => wire::StopCause::Drain,
        StopCause::Balance => wire::StopCause::Balance,
        StopCause::Preemption => wire::StopCause::Preemption,
        StopCause::RunOver => wire::StopCause::RunOver,
    };
    (wire::Desired::Stop, cause)
}
