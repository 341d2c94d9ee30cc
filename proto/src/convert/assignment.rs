//! What a node is to run. Specs that several tasks share go over the wire once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::id::{ProjectName, SecretName, ServiceName, TaskId};
use model::spec::TaskSpec;
use model::task::{DesiredState, Task};
use model::time::Timestamp;

use crate::convert::history::{desired_from_wire, desired_to_wire};
use crate::convert::secret::{pins_from_wire, pins_to_wire};
use crate::convert::{At, Invalid, Named, Valid, task_spec_from_wire, task_spec_to_wire};
use crate::wire;

/// One assignment as it was sent, with every part valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireAssignment {
    /// Which task.
    pub task: TaskId,
    /// Of which project.
    pub project: ProjectName,
    /// Of which service.
    pub service: ServiceName,
    /// Of which generation.
    pub generation: u64,
    /// What it runs.
    pub spec: Arc<TaskSpec>,
    /// Run, or a tombstone.
    pub desired: DesiredState,
    /// Whether it runs to its end and is never started again.
    pub is_once: bool,
    /// Which version of each secret it is to have.
    pub secrets: BTreeMap<SecretName, u64>,
}

/// Writes everything that a node should run.
pub fn assignments_to_wire(fence: wire::Fence, tasks: &[Arc<Task>]) -> wire::Assignments {
    let mut specs = Vec::new();
    // By number and not by address: each task that was read from a store has its generation for itself.
    let mut known = HashMap::new();
    let tasks = tasks.iter().map(|task| {
        let spec = *known.entry((&task.service, task.generation.number)).or_insert_with(|| {
            // Where tasks go, and who sends them requests, is not for a node to say, and an agent of an older release could
            // not read every constraint.
            let spec = task_spec_to_wire(&task.generation.spec.task);
            let (constraints, routes) = (Vec::new(), Vec::new());
            specs.push(wire::TaskSpec { constraints, routes, ..spec });
            u32::try_from(specs.len() - 1).unwrap_or(u32::MAX)
        });
        wire::AssignedTask { assignment: Some(sent(task)), spec }
    });
    let tasks = tasks.collect();
    wire::Assignments { fence: Some(fence), specs, tasks }
}

fn sent(task: &Task) -> wire::Assignment {
    let told = task.told();
    let (desired, stop_cause) = desired_to_wire(told);
    wire::Assignment {
        task: task.id.to_string(),
        project: task.service.project.to_string(),
        service: task.service.name.to_string(),
        slot: task.slot.to_string(),
        generation: task.generation.number,
        spec: None,
        desired: desired.into(),
        stop_cause: stop_cause.into(),
        once: task.generation.spec.mode.runs_to_end(),
        patience_until_ms: told.patience().map(Timestamp::as_millis),
        secrets: pins_to_wire(&task.secrets),
    }
}

/// Reads everything that a node should run.
///
/// # Errors
/// When any part is not valid: half of it is never taken.
pub fn assignments_from_wire(from: &wire::Assignments) -> Valid<Vec<WireAssignment>> {
    let specs = from.specs.iter().map(|spec| task_spec_from_wire(spec).map(Arc::new));
    let specs: Vec<_> = specs.collect::<Valid<_>>()?;
    let read = |from: &wire::AssignedTask| {
        let spec = usize::try_from(from.spec).ok().and_then(|index| specs.get(index));
        let spec = spec.ok_or_else(|| Invalid::new("assignments.spec", "names no spec"))?;
        let assignment = from.assignment.as_ref().at("assignments.assignment")?;
        assignment_from_wire(assignment, Arc::clone(spec))
    };
    from.tasks.iter().map(read).collect()
}

/// Reads one assignment.
///
/// # Errors
/// Names the first field that is not valid.
pub fn assignment_from_wire(from: &wire::Assignment, spec: Arc<TaskSpec>) -> Valid<WireAssignment> {
    Ok(WireAssignment {
        task: from.task.named("assignment.task")?,
        project: from.project.named("assignment.project")?,
        service: from.service.named("assignment.service")?,
        generation: from.generation,
        spec,
        desired: desired_from_wire(from.desired(), (known_cause(from), from.patience_until_ms))?,
        is_once: from.once,
        secrets: pins_from_wire("assignment.secrets", &from.secrets)?,
    })
}

/// A newer coordinator may stop tasks for reasons that this version has no word for. To refuse that would be to refuse all that
/// the node should run; so it is followed, as something that nobody is known to have asked for.
fn known_cause(from: &wire::Assignment) -> wire::StopCause {
    match from.stop_cause() {
        wire::StopCause::Unspecified if from.stop_cause != 0 => wire::StopCause::Duplicate,
        cause => cause,
    }
}

/// Writes one assignment without its spec, as a journal keeps it.
#[must_use]
pub fn assignment_to_journal(assignment: &WireAssignment) -> wire::Assignment {
    let (desired, stop_cause) = desired_to_wire(assignment.desired);
    wire::Assignment {
        task: assignment.task.to_string(),
        project: assignment.project.to_string(),
        service: assignment.service.to_string(),
        slot: String::new(),
        generation: assignment.generation,
        spec: None,
        desired: desired.into(),
        stop_cause: stop_cause.into(),
        once: assignment.is_once,
        patience_until_ms: assignment.desired.patience().map(Timestamp::as_millis),
        secrets: pins_to_wire(&assignment.secrets),
    }
}
