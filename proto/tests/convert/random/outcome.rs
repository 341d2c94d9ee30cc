//! What becomes of the bytes of a message.

use std::fmt::Debug;

use model::service::Service;
use model::spec::ServiceSpec;
use model::task::Task;
use model::time::Timestamp;
use model::trust::{Operator, Role};
use prost::Message;
use proto::convert::{
    Invalid, WireAssignment, admission_from_wire, admission_to_wire, assignment_to_journal,
    assignments_from_wire, containers_from_wire, containers_to_wire, hook_call_from_wire,
    hook_call_to_wire, hook_from_wire, hook_to_wire, look_from_wire, look_to_wire, node_from_wire,
    node_to_wire, operator_from_wire, operator_to_wire, pool_from_wire, pool_to_wire,
    refresh_from_wire, refresh_to_wire, registration_from_wire, registration_to_wire,
    service_from_wire, service_to_wire, spec_from_wire, spec_to_wire, state_from_wire,
    state_to_wire, survey_from_wire, survey_to_wire, task_from_wire, task_spec_to_wire,
    task_to_wire, token_from_wire, token_to_wire,
};
use proto::wire;

/// Every message that is read on its own.
pub(crate) const KINDS: [&str; 16] = [
    "ServiceSpec",
    "Service",
    "Task",
    "Node",
    "TaskReport",
    "Assignments",
    "JoinToken",
    "Admission",
    "StoredOperator",
    "Pool",
    "Hook",
    "HookCall",
    "Survey",
    "Refresh",
    "Registration",
    "TargetGroupLook",
];

#[derive(Debug)]
pub(crate) enum Outcome {
    /// Not a message at all.
    Undecodable,
    Refused(Invalid),
    /// A value, and what is written of it.
    Taken {
        again: Vec<u8>,
    },
}

/// Reads a message, and writes and reads what came of it once more.
pub(crate) fn judge(kind: &str, bytes: &[u8]) -> Outcome {
    match kind {
        "ServiceSpec" => again(bytes, spec_from_wire, spec_to_wire, bear_spec),
        "Service" => again(bytes, service_from_wire, service_to_wire, bear_service),
        "Task" => again(bytes, task_from_wire, task_to_wire, bear_task),
        "Node" => again(bytes, node_from_wire, node_to_wire, |node| {
            assert!(node.capacity.fits(&(node.capacity + node.capacity)));
        }),
        "Registration" => again(bytes, registration_from_wire, registration_to_wire, |_| {}),
        "TargetGroupLook" => again(bytes, look_from_wire, look_to_wire, |_| {}),
        "JoinToken" => again(bytes, token_from_wire, token_to_wire, |_| {}),
        "Admission" => again(bytes, admission_from_wire, admission_to_wire, |_| {}),
        "StoredOperator" => again(bytes, operator_from_wire, operator_to_wire, bear_operator),
        "Pool" => again(bytes, pool_from_wire, pool_to_wire, |_| {}),
        "Hook" => again(bytes, hook_from_wire, hook_to_wire, |_| {}),
        "HookCall" => again(bytes, hook_call_from_wire, hook_call_to_wire, |_| {}),
        "Refresh" => again(bytes, refresh_from_wire, refresh_to_wire, |_| {}),
        "Survey" => again(bytes, survey_from_wire, survey_to_wire, |_| {}),
        "TaskReport" => again(bytes, read_report, write_report, |_| {}),
        "Assignments" => {
            let write = |read: &Vec<WireAssignment>| write_assignments(read);
            again(bytes, assignments_from_wire, write, |_| {})
        }
        other => panic!("{other} is not read on its own"),
    }
}

fn again<Wire: Message + Default, Value: PartialEq + Debug>(
    bytes: &[u8],
    read: impl Fn(&Wire) -> Result<Value, Invalid>,
    write: impl Fn(&Value) -> Wire,
    bear: impl Fn(&Value),
) -> Outcome {
    let Ok(wire) = Wire::decode(bytes) else { return Outcome::Undecodable };
    let value = match read(&wire) {
        Ok(value) => value,
        Err(invalid) => return Outcome::Refused(invalid),
    };
    bear(&value);
    let again = write(&value).encode_to_vec();
    assert_eq!(read(&Wire::decode(again.as_slice()).unwrap()), Ok(value));
    Outcome::Taken { again }
}

/// The arithmetic that others do with a spec, at the end of time.
fn bear_spec(spec: &ServiceSpec) {
    let end = Timestamp::from_millis(u64::MAX);
    let policies = [spec.update.monitor, spec.update.progress_deadline, spec.task.restart.delay];
    assert!(policies.iter().all(|policy| end + *policy == end));
    let checks = spec.task.containers.iter().filter_map(|container| container.health.as_ref());
    assert!(checks.into_iter().all(|check| end + check.interval == end && check.retries > 0));
    assert!(!(spec.task.is_exclusive() && spec.task.containers.is_empty()));
    assert!(spec.task.reservation().fits(&spec.task.reservation()));
    assert!(spec.task.fixed_ports().all(|port| port.number > 0));
    assert!(spec.task.restarts_asked.checked_add(1 << 40).is_some());
}

fn bear_service(service: &Service) {
    assert!(service.target.number.checked_add(1 << 40).is_some());
    assert!(service.history.len() <= model::service::HISTORY_LIMIT);
    bear_spec(&service.target.spec);
}

fn bear_task(task: &Task) {
    assert_eq!(task.service, task.generation.spec.id);
    bear_spec(&task.generation.spec);
}

/// Whoever is limited to services is never limited to none, which somebody could take for all.
fn bear_operator(operator: &Operator) {
    assert!(!matches!(&operator.role, Role::Deployer(globs) if globs.is_empty()));
}

type Report = (model::task::TaskState, Vec<model::task::ContainerStatus>);

fn read_report(from: &wire::TaskReport) -> Result<Report, Invalid> {
    Ok((state_from_wire(from.state.as_ref())?, containers_from_wire(&from.containers)?))
}

fn write_report((state, containers): &Report) -> wire::TaskReport {
    wire::TaskReport {
        state: Some(state_to_wire(state)),
        containers: containers_to_wire(containers),
        ..wire::TaskReport::default()
    }
}

fn write_assignments(read: &[WireAssignment]) -> wire::Assignments {
    let specs = read.iter().map(|assignment| task_spec_to_wire(&assignment.spec)).collect();
    let tasks = read.iter().zip(0..).map(|(assignment, spec)| wire::AssignedTask {
        assignment: Some(assignment_to_journal(assignment)),
        spec,
    });
    wire::Assignments { fence: None, specs, tasks: tasks.collect() }
}
