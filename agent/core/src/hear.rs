//! Writes down what was heard.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{ContainerName, TaskId};
use model::spec::HealthCheck;
use model::task::{DesiredState, FailureKind, Health, TaskState};
use model::time::Timestamp;

use crate::action::{Action, Fault, FaultKind, Outcome};
use crate::assignment::{Assignment, Assignments};
use crate::event::{Event, OrderKind};
use crate::observed::Container;
use crate::orphan::{self, Orphan};
use crate::unit::{Doubt, Knows, Part, Stray, Unit};
use crate::workload::{Engine, Workload};
use crate::{lease, outlook, restart, secret};

/// So many tries of a thing that the engine refused for its own reasons, before the coordinator is told to look elsewhere.
const TRIES: u32 = 5;

pub(crate) fn hear(workload: &mut Workload, event: &Event, now: Timestamp) {
    match event {
        Event::Assigned(assignments) => assign(workload, assignments, now),
        Event::Listed { asked_at, containers } => list(workload, *asked_at, containers, now),
        Event::Seen(container) => see(workload, container, now),
        Event::EngineDown { why } => workload.engine = Engine::Down { why: why.clone() },
        Event::Done { task, container, kind, outcome } => {
            let Some(unit) = workload.units.get_mut(task) else { return };
            match kind {
                OrderKind::Change => settle(unit, container, outcome, now),
                OrderKind::Probe { number } => probed(unit, container, (*number, outcome), now),
            }
        }
        Event::Lease { task, ask } => lease::ask(workload, task, *ask, now),
        Event::Secrets { task, there } => secret::hear(workload, task, there),
        Event::Foreseen(expected) => outlook::foresee(workload, *expected, now),
        Event::Reach(reach) => outlook::reach(workload, *reach, now),
        Event::OrphansConfirmed { containers } => orphan::confirm(workload, containers),
    }
}

/// Takes over what is wanted, unless somebody newer has spoken. A task that is missing goes on as it is.
fn assign(workload: &mut Workload, assignments: &Assignments, now: Timestamp) {
    if assignments.fence < workload.fence {
        return;
    }
    let named: BTreeSet<&TaskId> = assignments.tasks.iter().map(|task| &task.task).collect();
    for (task, unit) in &mut workload.units {
        let is_known = named.contains(task);
        // Who is over and forgotten by the coordinator leaves nothing behind. Who lives goes on.
        unit.is_leaving |= !is_known && unit.state.is_final() && !unit.is_alive();
        let stray = Stray { since: now, is_disowned: false };
        unit.stray = (!is_known).then(|| unit.stray.unwrap_or(stray));
    }
    for assignment in &assignments.tasks {
        take(workload, assignment);
    }
    workload.is_unsaved |= workload.fence != assignments.fence;
    workload.fence = assignments.fence;
}

fn take(workload: &mut Workload, assignment: &Assignment) {
    match workload.units.get_mut(&assignment.task) {
        // A task that was told to stop does not run again. Which secrets it is to have is exchanged; everything else about
        // it never changes.
        Some(unit) => {
            if unit.wants_to_run() {
                unit.assignment.secrets.clone_from(&assignment.secrets);
                unit.assignment.desired = assignment.desired;
                unit.is_unjudged = !unit.wants_to_run();
            } else if let DesiredState::Stop { cause, patience } = assignment.desired {
                if cause.is_intended() {
                    // Whoever looked, and now asks for it, is not kept waiting.
                    unit.assignment.desired = assignment.desired;
                    unit.braked_until = None;
                } else if patience.is_none() {
                    unit.assignment.desired = unit.assignment.desired.without_patience();
                }
            }
        }
        None => {
            let mut unit = Unit::new(assignment.clone());
            adopt(&mut workload.orphans, &mut unit);
            workload.units.insert(assignment.task.clone(), unit);
        }
    }
}

/// Containers that were there before their task was known: the journal was lost.
fn adopt(orphans: &mut BTreeMap<String, Orphan>, unit: &mut Unit) {
    let task = unit.assignment.task.clone();
    let (ours, others) = std::mem::take(orphans)
        .into_iter()
        .partition(|(_, orphan): &(String, Orphan)| orphan.container.task == task);
    *orphans = others;
    let ours: BTreeMap<String, Orphan> = ours;
    for orphan in ours.into_values() {
        let container = orphan.container;
        if let Some(part) = unit.part_mut(&container.container.clone()) {
            part.see(container, orphan.since);
        }
    }
}

/// Takes in everything that is there. What is not in a good list is gone, unless something happened since it was asked.
fn list(workload: &mut Workload, asked_at: Timestamp, containers: &[Container], now: Timestamp) {
    workload.engine = Engine::Ready;
    let mut by_task: BTreeMap<&TaskId, Vec<&Container>> = BTreeMap::new();
    for container in containers {
        by_task.entry(&container.task).or_default().push(container);
    }
    for (task, unit) in &mut workload.units {
        let there = by_task.remove(task).unwrap_or_default();
        for part in &mut unit.parts {
            let of_part: Vec<&Container> =
                there.iter().filter(|found| found.container == part.name).copied().collect();
            refresh(part, &of_part, asked_at, now);
        }
        unit.doubt(now);
    }
    orphan::refresh(workload, by_task.into_values().flatten().collect(), now);
}

/// A glance at one container. Whether others are still there, only a list says.
fn see(workload: &mut Workload, container: &Container, now: Timestamp) {
    let unit = workload.units.get_mut(&container.task).filter(|unit| unit.doing.is_none());
    if let Some(part) = unit.and_then(|unit| unit.part_mut(&container.container)) {
        part.glanced_at = now;
        part.see(container.clone(), now);
    }
}

fn refresh(part: &mut Part, there: &[&Container], asked_at: Timestamp, now: Timestamp) {
    if asked_at < part.settled_at {
        return;
    }
    let is_gone = |known: &Container| !there.iter().any(|found| found.id == known.id);
    if asked_at >= part.glanced_at {
        part.older.retain(|known| !is_gone(known));
        if part.seen.as_ref().is_some_and(is_gone) {
            part.vanish(now);
        }
    }
    there.iter().for_each(|found| part.see((*found).clone(), now));
}

/// Takes in what came of a change.
fn settle(unit: &mut Unit, name: &ContainerName, outcome: &Outcome, now: Timestamp) {
    let done = unit.doing.take();
    if is_open(done.as_ref(), outcome) {
        unit.doubt = Some(Doubt::Unlisted);
    }
    let task = unit.assignment.task.clone();
    let Some(part) = unit.part_mut(name) else { return };
    part.settled_at = now;
    if let Some(Action::Signal { .. }) = &done {
        return signalled(unit, name, outcome, now);
    }
    match outcome {
        Outcome::Done | Outcome::Now(_) | Outcome::Gone => {
            part.faults = 0;
            part.needs_image = false;
            unit.note.clear();
        }
        Outcome::Failed(fault) => {
            part.faults = part.faults.saturating_add(1);
            part.not_before = now + restart::retry_wait(part.faults, &task);
            return fail(unit, name, fault, now);
        }
    }
    let Some(part) = unit.part_mut(name) else { return };
    match (outcome, done) {
        (Outcome::Now(container), _) => part.see((**container).clone(), now),
        (Outcome::Done | Outcome::Gone, Some(Action::Remove { id })) => part.forget(&id),
        (
            Outcome::Gone,
            Some(Action::Stop { id, .. } | Action::Kill { id } | Action::Unpause { id }),
        ) => {
            gone(part, &id, now);
        }
        (Outcome::Done | Outcome::Gone | Outcome::Failed(_), _) => {}
    }
}

/// Says whether a container may be there, or still come, of which the engine has said nothing: it was to be made, and no answer
/// came.
const fn is_open(done: Option<&Action>, outcome: &Outcome) -> bool {
    matches!(
        (done, outcome),
        (Some(Action::Launch(_)), Outcome::Failed(Fault { kind: FaultKind::Unknown, .. }))
    )
}

/// A container was told of new secrets, or not. That it could not be is no reason to end what runs.
fn signalled(unit: &mut Unit, name: &ContainerName, outcome: &Outcome, now: Timestamp) {
    let task = unit.assignment.task.clone();
    let Some(part) = unit.part_mut(name) else { return };
    let Outcome::Failed(fault) = outcome else {
        part.knows = Knows::All;
        return;
    };
    part.faults = part.faults.saturating_add(1);
    part.not_before = now + restart::retry_wait(part.faults, &task);
    // The engine will not take this signal the next time either.
    if fault.kind == FaultKind::Refused || part.faults >= TRIES {
        (part.knows, part.faults) = (Knows::All, 0);
    }
    unit.note = format!("was not told of a new secret: {}", fault.message);
}

/// The engine knows nothing of a container that we wanted to change.
fn gone(part: &mut Part, id: &str, now: Timestamp) {
    part.older.retain(|known| known.id != id);
    if part.seen.as_ref().is_some_and(|seen| seen.id == id) {
        part.vanish(now);
    }
}

/// Says whether the task fails for a fault, or waits and tries again.
fn fail(unit: &mut Unit, name: &ContainerName, fault: &Fault, now: Timestamp) {
    unit.note.clone_from(&fault.message);
    let wants_to_run = unit.wants_to_run();
    let Some(part) = unit.part_mut(name) else { return };
    let is_hopeless = part.faults >= TRIES;
    let kind = match fault.kind {
        FaultKind::ImageMissing => {
            part.needs_image = true;
            part.not_before = now;
            is_hopeless.then_some(FailureKind::Image)
        }
        FaultKind::ImageNotFound => Some(FailureKind::Image),
        FaultKind::Refused => Some(FailureKind::Application),
        FaultKind::Engine | FaultKind::DiskFull | FaultKind::PortTaken => {
            is_hopeless.then_some(FailureKind::Host)
        }
        // A registry that is away comes back, and who is not let in may be later: the coordinator's deadline decides.
        FaultKind::Unauthorized | FaultKind::RegistryUnavailable | FaultKind::Unknown => None,
    };
    if let Some(kind) = kind.filter(|_| wants_to_run && !unit.state.is_final()) {
        unit.state = TaskState::Failed { kind, reason: fault.message.clone() };
    }
}

fn probed(
    unit: &mut Unit,
    name: &ContainerName,
    (number, outcome): (u32, &Outcome),
    now: Timestamp,
) {
    let Some(check) = unit.spec_of(name).and_then(|spec| spec.health.clone()) else { return };
    let Some(part) = unit.part_mut(name) else { return };
    let started_at = part.seen.as_ref().and_then(|seen| seen.started_at);
    let probe = &mut part.probe;
    if probe.number != number {
        return;
    }
    probe.is_busy = false;
    match outcome {
        Outcome::Done | Outcome::Now(_) => {
            (probe.health, probe.failures) = (Health::Healthy, 0);
            probe.next_at = now + check.interval;
        }
        // Not the application's fault: asked again in time.
        Outcome::Gone => probe.next_at = now + check.interval,
        Outcome::Failed(fault) if !is_the_containers(fault.kind) => {
            probe.next_at = now + check.interval;
        }
        Outcome::Failed(fault) => {
            probe.last_error.clone_from(&fault.message);
            let in_start = started_at.is_some_and(|at| now.since(at) < check.start_period);
            let is_early = probe.health == Health::Starting && in_start;
            count_failure(part, &check, is_early, now);
        }
    }
}

/// Says whether a check failed, and not the engine through which the container is found.
const fn is_the_containers(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Refused => true,
        FaultKind::Unknown
        | FaultKind::Engine
        | FaultKind::DiskFull
        | FaultKind::PortTaken
        | FaultKind::ImageMissing
        | FaultKind::ImageNotFound
        | FaultKind::Unauthorized
        | FaultKind::RegistryUnavailable => false,
    }
}

/// While a container comes up it is asked more often than the interval says; but a failure counts once an interval.
fn count_failure(part: &mut Part, check: &HealthCheck, is_early: bool, now: Timestamp) {
    let probe = &mut part.probe;
    if !is_early && now.since(probe.counted_at) >= check.interval {
        probe.failures = probe.failures.saturating_add(1);
        probe.counted_at = now;
    }
    if probe.failures >= check.retries.max(1) {
        probe.health = Health::Unhealthy;
    }
    let wait = if probe.health == Health::Starting {
        check.interval.min(crate::health::EAGER_INTERVAL)
    } else {
        check.interval
    };
    probe.next_at = now + wait;
}
