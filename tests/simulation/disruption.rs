//! What our own doing takes away from services: never more than they can spare, unless a deadline has passed.

use std::sync::Arc;

use model::budget::{Amount, Budget};
use model::id::{ServiceId, Slot};
use model::node::{Availability, DrainCause, DrainPhase};
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task};

use crate::coordinator_core::cluster::Cluster;

use super::World;

impl World {
    /// Judges what a step has stopped and placed.
    pub(crate) fn check_disruption(&mut self, before: &Cluster) {
        let mut wrong = Vec::new();
        let cluster = &self.coordinator.cluster;
        for task in cluster.tasks().values() {
            let was = before.tasks().get(&task.id);
            let is_placed = task.node.is_some() && was.is_none_or(|was| was.node.is_none());
            if is_placed && cluster.is_leaving(task) {
                wrong.push(format!("{} is put on a node that is being emptied", task.id));
            }
            if let DesiredState::Stop { cause, .. } = task.desired
                && was.is_some_and(|was| was.desired == DesiredState::Run)
                && let Some(service) = cluster.services().get(&task.service)
            {
                wrong.extend(judge((before, cluster), service, task, cause));
                wrong.extend(judge_preemption(cluster, service, task, cause));
            }
        }
        wrong.into_iter().for_each(|wrong| self.truth.accuse(wrong));
    }
}

/// Only for a task that matters more, and for which room is being made on the same node.
fn judge_preemption(
    cluster: &Cluster,
    service: &Service,
    task: &Task,
    cause: StopCause,
) -> Option<String> {
    let matters_more = |other: &&Arc<Task>| {
        let other = cluster.services().get(&other.service);
        other.is_some_and(|other| other.target.spec.priority > service.target.spec.priority)
    };
    let node = task.node.as_ref().filter(|_| cause == StopCause::Preemption)?;
    let mut whom = cluster.promised_on(node).filter(matters_more);
    let is_bound = |task: &Task| task.generation.spec.mode == Mode::Global;
    let may = match service.target.spec.mode {
        Mode::Replicated { .. } | Mode::Job(_) => whom.next().is_some(),
        Mode::Global => whom.any(|whom| is_bound(whom)),
        Mode::Once => false,
    };
    (!may).then(|| format!("{} gives way on {node} to nobody that could ask for it", task.id))
}

fn judge(
    (before, cluster): (&Cluster, &Cluster),
    service: &Service,
    task: &Task,
    cause: StopCause,
) -> Option<String> {
    let is_drain = match cause {
        StopCause::Drain | StopCause::Balance => true,
        StopCause::Update | StopCause::Preemption => false,
        StopCause::Operator
        | StopCause::Duplicate
        | StopCause::Ended
        | StopCause::NodeDead
        | StopCause::RunOver => return None,
    };
    let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node))?;
    if is_drain && task.generation.spec.mode == Mode::Global {
        let stays = |other: &&Arc<Task>| {
            !other.state.is_final() && other.generation.spec.mode != Mode::Global
        };
        let stays = cluster.tasks_on(&node.id).find(stays);
        return stays.map(|stays| format!("{} leaves its node before {}", task.id, stays.id));
    }
    let phase = node.drain.map(|drain| drain.phase);
    let is_forced = is_drain && matches!(phase, Some(DrainPhase::Forced { .. }));
    let is_served = serves(cluster, &service.id, &task.slot);
    if is_forced || is_served || task.serving_since().is_none() || task.missed_at.is_some() {
        return None;
    }
    let wanted = wanted(cluster, service);
    if !wanted.contains(&task.slot) {
        return None;
    }
    let is_first = !service.target.spec.task.is_exclusive();
    if is_drain && is_first {
        return Some(format!("{} leaves before another serves", task.id));
    }
    // It ends with its machine, whatever its service can spare.
    if is_drain && node.drain.is_some_and(|drain| drain.cause == DrainCause::Interrupted) {
        return None;
    }
    let serving = wanted.iter().filter(|slot| serves(cluster, &service.id, slot)).count();
    // The order within a step is not known here, and what others take with wider bounds they may have taken after this task: see
    // below. A rollout has the widest, and comes after the drains of a step.
    let was_taken = |slot: &&Slot| {
        **slot != task.slot
            && serves(before, &service.id, slot)
            && !serves(cluster, &service.id, slot)
            && cause != StopCause::Update
            && is_taken_by_wider(before, cluster, (service, slot))
    };
    let serving = serving + wanted.iter().filter(was_taken).count();
    let is_replicated = matches!(service.target.spec.mode, Mode::Replicated { .. });
    let leaves_one = is_drain || cause == StopCause::Preemption && is_replicated;
    let least = least(service, wanted.len(), leaves_one);
    (serving < least).then(|| {
        let (id, cause) = (&task.id, task.desired);
        format!("{id} is stopped ({cause:?}): {serving} of its service serve, and {least} have to")
    })
}

/// Says whether a task of the slot was told in this step to stop by somebody who need not leave as many. A machine that is
/// interrupted takes its tasks along, whatever their service can spare (seed 382). A rollout may take the last one of a service that
/// says nothing of its budget, of which all others leave one: a task gives way while two serve, and the rollout that is planned after
/// it in the same step takes the other (seed 1120). A budget that is said is the same for all who ask, so there nothing is let pass.
fn is_taken_by_wider(
    before: &Cluster,
    cluster: &Cluster,
    (service, slot): (&Service, &Slot),
) -> bool {
    let is_usual = service.target.spec.budget == Budget::Usual;
    let mut tasks = cluster.tasks_of(&service.id).filter(|task| task.slot == *slot);
    tasks.any(|task| {
        let was = before.tasks().get(&task.id);
        let is_news = was.is_some_and(|was| was.desired == DesiredState::Run);
        let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
        let drain = node.and_then(|node| node.drain);
        let is_interrupted = drain.is_some_and(|drain| drain.cause == DrainCause::Interrupted);
        match task.desired.stop_cause() {
            Some(StopCause::Update) => is_news && is_usual,
            Some(StopCause::Drain) => is_news && is_interrupted,
            Some(_) | None => false,
        }
    })
}

fn wanted(cluster: &Cluster, service: &Service) -> Vec<Slot> {
    match service.target.spec.mode {
        _ if service.phase == ServicePhase::Removing => Vec::new(),
        Mode::Replicated { replicas } => (1..=replicas).map(Slot::Replica).collect(),
        Mode::Once => vec![Slot::Replica(1)],
        Mode::Job(_) => Vec::new(),
        Mode::Global => {
            let open = cluster.nodes().values();
            let open = open.filter(|node| node.availability == Availability::Active);
            open.map(|node| Slot::Node(node.id.clone())).collect()
        }
    }
}

fn serves(cluster: &Cluster, service: &ServiceId, slot: &Slot) -> bool {
    let mut tasks = cluster.tasks_of(service).filter(|task| task.slot == *slot);
    tasks.any(|task| task.is_wanted() && task.serving_since().is_some())
}

/// Reckoned here once more, from what the documents say.
fn least(service: &Service, wanted: usize, leaves_one: bool) -> usize {
    let number = |amount| match amount {
        Amount::Count(count) => (count as usize).min(wanted),
        Amount::Percent(percent) => (wanted * usize::from(percent)).div_ceil(100),
    };
    match service.target.spec.budget {
        Budget::Usual if leaves_one && wanted >= 2 => 1,
        Budget::Usual => 0,
        Budget::MinAvailable(amount) => number(amount),
        Budget::MaxUnavailable(amount) => wanted - number(amount),
    }
}
