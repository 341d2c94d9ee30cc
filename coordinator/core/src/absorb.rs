//! Writes down what was heard. Decides nothing but whether a request can be taken.

use std::sync::Arc;

use model::id::{NodeId, ServiceId};
use model::node::{Availability, Node};
use model::service::{Generation, Origin, Service, ServicePhase};
use model::spec::{Mode, REPLICAS_LIMIT, ServiceSpec};
use model::task::{DesiredState, StopCause, Task, TaskState};

use crate::cluster::Change;
use crate::draft::Draft;
use crate::event::{Event, Refusal, Reply, Report};

pub(crate) fn absorb(draft: &mut Draft<'_>, event: &Event) -> Reply {
    let heard = match event {
        Event::Deploy(spec) => deploy(draft, spec),
        Event::Scale { service, replicas } => scale(draft, service, *replicas),
        Event::Rollback(service) => roll_back(draft, service),
        Event::Remove(service) => remove(draft, service),
        Event::Joined(node) => Ok(join(draft, node)),
        Event::Heard(node) => Ok(hear(draft, node)),
        Event::Reported { node, tasks } => Ok(report(draft, node, tasks)),
        Event::Died(node) => Ok(bury(draft, node)),
    };
    heard.unwrap_or_else(Reply::Refused)
}

fn deploy(draft: &mut Draft<'_>, spec: &ServiceSpec) -> Result<Reply, Refusal> {
    if let Mode::Replicated { replicas } = spec.mode {
        check_replicas(replicas)?;
    }
    match draft.cluster.services().get(&spec.id).cloned() {
        Some(service) => {
            check_stays(&service)?;
            if service.target.spec == *spec {
                return Ok(Reply::Accepted { generation: service.target.number });
            }
            Ok(target(draft, &service, spec.clone(), Origin::Deployed))
        }
        None => Ok(create(draft, spec)),
    }
}

fn create(draft: &mut Draft<'_>, spec: &ServiceSpec) -> Reply {
    let generation = Generation {
        number: 1,
        template: 1,
        origin: Origin::Deployed,
        accepted_at: draft.now,
        spec: spec.clone(),
    };
    let service = Service {
        id: spec.id.clone(),
        target: Arc::new(generation),
        stable: None,
        phase: ServicePhase::Rolling { since: draft.now },
    };
    draft.put_service(service);
    Reply::Accepted { generation: 1 }
}

/// Makes `spec` the newest generation and the target of the service.
pub(crate) fn target(
    draft: &mut Draft<'_>,
    service: &Service,
    spec: ServiceSpec,
    origin: Origin,
) -> Reply {
    let number = service.target.number + 1;
    let known = [Some(&service.target), service.stable.as_ref()];
    let same = known.into_iter().flatten().find(|known| known.spec.task == spec.task);
    let template = same.map_or(number, |same| same.template);
    let generation = Generation { number, template, origin, accepted_at: draft.now, spec };
    draft.put_service(Service {
        target: Arc::new(generation),
        phase: ServicePhase::Rolling { since: draft.now },
        ..service.clone()
    });
    Reply::Accepted { generation: number }
}

fn scale(draft: &mut Draft<'_>, id: &ServiceId, replicas: u32) -> Result<Reply, Refusal> {
    check_replicas(replicas)?;
    let service = staying(draft, id)?;
    match service.target.spec.mode {
        Mode::Replicated { replicas: now } if now == replicas => {
            Ok(Reply::Accepted { generation: service.target.number })
        }
        Mode::Replicated { .. } => {
            let mode = Mode::Replicated { replicas };
            let spec = ServiceSpec { mode, ..service.target.spec.clone() };
            Ok(target(draft, &service, spec, Origin::Scaled))
        }
        Mode::Global | Mode::Once => Err(Refusal::NotReplicated(id.clone())),
    }
}

fn roll_back(draft: &mut Draft<'_>, id: &ServiceId) -> Result<Reply, Refusal> {
    let service = staying(draft, id)?;
    back_to_stable(draft, &service).ok_or_else(|| Refusal::NothingToRollBackTo(id.clone()))
}

/// Goes back to the task spec that was last healthy, keeping the number of replicas, if there is another one.
pub(crate) fn back_to_stable(draft: &mut Draft<'_>, service: &Service) -> Option<Reply> {
    let stable = service.stable.as_ref()?;
    if stable.template == service.target.template {
        return None;
    }
    let spec = ServiceSpec { task: stable.spec.task.clone(), ..service.target.spec.clone() };
    Some(target(draft, service, spec, Origin::RolledBack { to: stable.number }))
}

fn remove(draft: &mut Draft<'_>, id: &ServiceId) -> Result<Reply, Refusal> {
    let service = draft.cluster.services().get(id).cloned();
    let service = service.ok_or_else(|| Refusal::NoService(id.clone()))?;
    if service.phase != ServicePhase::Removing {
        draft.put_service(Service { phase: ServicePhase::Removing, ..(*service).clone() });
    }
    Ok(Reply::Noted)
}

fn staying(draft: &Draft<'_>, id: &ServiceId) -> Result<Arc<Service>, Refusal> {
    let service = draft.cluster.services().get(id).cloned();
    let service = service.ok_or_else(|| Refusal::NoService(id.clone()))?;
    check_stays(&service)?;
    Ok(service)
}

fn check_stays(service: &Service) -> Result<(), Refusal> {
    match service.phase {
        ServicePhase::Removing => Err(Refusal::Removing(service.id.clone())),
        ServicePhase::Rolling { .. } | ServicePhase::Steady | ServicePhase::Halted { .. } => Ok(()),
    }
}

const fn check_replicas(replicas: u32) -> Result<(), Refusal> {
    if replicas > REPLICAS_LIMIT { Err(Refusal::TooManyReplicas(replicas)) } else { Ok(()) }
}

fn join(draft: &mut Draft<'_>, node: &Node) -> Reply {
    let known = draft.cluster.nodes().get(&node.id);
    let availability = known.map_or(node.availability, |known| known.availability);
    // The dead stay dead: a new boot of the machine comes with a new id.
    let node = Node { availability, ..node.clone() };
    if known.is_none_or(|known| **known != node) {
        draft.write(Change::PutNode(Arc::new(node.clone())));
    }
    let services: Vec<ServiceId> = draft.cluster.services().keys().cloned().collect();
    services.iter().for_each(|service| draft.touch(service));
    hear(draft, &node.id)
}

fn hear(draft: &mut Draft<'_>, node: &NodeId) -> Reply {
    if let Some(known) = draft.cluster.nodes().get(node) {
        let was_silent = !draft.cluster.is_heard(known, draft.now);
        draft.cluster.heard.insert(node.clone(), draft.now);
        if was_silent {
            draft.touch_waiting();
        }
    }
    Reply::Noted
}

fn report(draft: &mut Draft<'_>, node: &NodeId, reports: &[Report]) -> Reply {
    hear(draft, node);
    for report in reports {
        let Some(task) = draft.cluster.tasks().get(&report.task).cloned() else { continue };
        let is_its_own = task.node.as_ref() == Some(node);
        let says_more = task.state != report.state || task.restarts < report.restarts;
        if is_its_own && says_more && task.state.may_become(&report.state) {
            let restarts = task.restarts.max(report.restarts);
            observe(draft, Task { state: report.state.clone(), restarts, ..(*task).clone() });
        }
    }
    Reply::Noted
}

fn observe(draft: &mut Draft<'_>, task: Task) {
    let service = task.service.clone();
    let is_final = task.state.is_final();
    draft.put_task(task);
    draft.touch(&service);
    if is_final {
        draft.touch_waiting();
    }
}

fn bury(draft: &mut Draft<'_>, id: &NodeId) -> Reply {
    let Some(node) = draft.cluster.nodes().get(id).cloned() else { return Reply::Noted };
    let lost: Vec<_> =
        draft.cluster.tasks_on(id).filter(|task| !task.state.is_final()).cloned().collect();
    for task in lost {
        let desired = match task.desired {
            DesiredState::Run => DesiredState::Stop { cause: StopCause::NodeDead },
            told @ DesiredState::Stop { .. } => told,
        };
        observe(draft, Task { desired, state: TaskState::Lost, ..(*task).clone() });
    }
    if node.availability != Availability::Dead {
        let node = Node { availability: Availability::Dead, ..(*node).clone() };
        draft.write(Change::PutNode(Arc::new(node)));
    }
    Reply::Noted
}
