//! For each task the one next thing to do, out of what is wanted and what is there.

use std::time::Duration;

use model::secret::Rotation;
use model::spec::{ContainerSpec, DependencyCondition};
use model::task::{DesiredState, FailureKind, Health, StopCause, TaskState};
use model::time::Timestamp;

use crate::Order;
use crate::action::{Action, Launch};
use crate::observed::{Container, Status};
use crate::outlook::{self, End};
use crate::restart::{self, Verdict};
use crate::unit::{Doubt, Knows, Part, Unit};
use crate::workload::{Engine, Workload};
use crate::{brake, health, lease, orphan, report, secret};

/// Everything that is to be asked of the engine now.
pub(crate) fn decide(workload: &mut Workload, now: Timestamp) -> Vec<Order> {
    if workload.engine != Engine::Ready {
        return Vec::new();
    }
    brake::hold(workload, now);
    let end = outlook::end(workload, now);
    let mut orders = orphan::orders(workload, now);
    for unit in workload.units.values_mut() {
        orphan::release(unit, now);
        if unit.doing.is_none() {
            orders.extend(next(unit, end, now));
        }
        observe(unit, end, now);
        // What has just turned out to be over is cleared away at once, not at the next event.
        if unit.doing.is_none() && unit.state.is_final() {
            orders.extend(next(unit, end, now));
        }
        orders.extend(health::orders(unit, now));
    }
    let is_over = |unit: &Unit| {
        unit.is_leaving && unit.doing.is_none() && unit.parts.iter().all(Part::is_gone)
    };
    let known = workload.units.len();
    workload.units.retain(|_, unit| !is_over(unit));
    workload.is_unsaved |= known != workload.units.len();
    orders
}

/// When time alone brings something to do.
pub(crate) fn wake_at(workload: &Workload, now: Timestamp) -> Option<Timestamp> {
    let units = workload.units.values().flat_map(|unit| {
        let waits = unit.parts.iter().filter(|_| unit.doing.is_none()).map(|part| part.not_before);
        let doubt = match unit.doubt {
            Some(Doubt::Until(until)) => Some(until),
            Some(Doubt::Unlisted) | None => None,
        };
        waits.chain(doubt).chain(unit.braked_until).chain(unit.lease).chain(health::wake_at(unit))
    });
    let all = units.chain(orphan::wake_at(workload)).chain(report::wake_at(workload));
    let all = all.chain(workload.stops_at());
    all.filter(|at| *at > now).min()
}

fn next(unit: &mut Unit, end: Option<End>, now: Timestamp) -> Option<Order> {
    let is_ending = end.is_some_and(|end| end.is_due);
    if !is_ending && lease::waits(unit, now) {
        return None;
    }
    let is_braked = unit.braked_until.is_some_and(|until| now < until);
    let stops = is_ending || !unit.wants_to_run() && !is_braked;
    let chosen = if stops || unit.state.is_final() || unit.is_leaving {
        wind_down(unit, now)
    } else if unit.is_begun() || !end.is_some_and(|end| end.is_closed) {
        keep_up(unit, now)
    } else {
        "not begun: its machine ends".clone_into(&mut unit.note);
        None
    };
    let (index, mut action) = chosen?;
    if let (Action::Stop { grace, .. }, Some(end)) = (&mut action, end) {
        *grace = end.cap(*grace, now);
    }
    unit.doing = Some(action.clone());
    let container = unit.parts.get(index)?.name.clone();
    Some(Order { task: unit.assignment.task.clone(), container, action })
}

/// Stops what lives, the last container first; then removes what nobody will ask for any more. What failed, or ran to its
/// end, stays until the coordinator has forgotten it, so that its log can be read.
fn wind_down(unit: &Unit, now: Timestamp) -> Option<(usize, Action)> {
    let is_done = unit.state == TaskState::Completed && !has_run_to_its_end(unit);
    let removes = unit.is_leaving || !unit.wants_to_run() && is_done;
    for (index, part) in unit.parts.iter().enumerate().rev() {
        if now < part.not_before {
            continue;
        }
        let mut containers = part.seen.iter().chain(&part.older);
        if let Some(container) = containers.clone().find(|container| container.is_alive()) {
            return Some((index, stop(unit, index, container)));
        }
        if let Some(container) = containers.next().filter(|_| removes) {
            return Some((index, Action::Remove { id: container.id.clone() }));
        }
    }
    None
}

fn has_run_to_its_end(unit: &Unit) -> bool {
    let desired = unit.assignment.desired;
    unit.assignment.is_once && desired == DesiredState::stop(StopCause::Ended)
}

fn stop(unit: &Unit, index: usize, container: &Container) -> Action {
    let id = container.id.clone();
    if container.status == Status::Paused {
        return Action::Unpause { id };
    }
    let spec = unit.assignment.spec.containers.get(index);
    let grace = spec.map_or(Duration::ZERO, |spec| spec.stop_grace);
    Action::Stop { id, grace }
}

/// Brings each container up, in the order of the spec and after what it depends on.
fn keep_up(unit: &mut Unit, now: Timestamp) -> Option<(usize, Action)> {
    for index in 0..unit.parts.len() {
        if let Some(action) = tend(unit, index, now) {
            return Some((index, action));
        }
        if unit.state.is_final() {
            return None;
        }
    }
    None
}

fn tend(unit: &mut Unit, index: usize, now: Timestamp) -> Option<Action> {
    let part = unit.parts.get(index)?;
    if now < part.not_before || part.is_over {
        return None;
    }
    if let Some(older) = part.older.iter().find(|older| older.is_alive()) {
        return Some(stop(unit, index, older));
    }
    match part.seen.as_ref().map(|seen| seen.status.clone()) {
        None | Some(Status::Created) => launch(unit, index),
        Some(Status::Paused) => {
            part.seen.as_ref().map(|seen| Action::Unpause { id: seen.id.clone() })
        }
        Some(Status::Running) => tend_running(unit, index),
        Some(Status::Exited(exit)) => {
            end(unit, index, &exit, now);
            let part = unit.parts.get(index)?;
            let begins = part.seen.is_none() && now >= part.not_before;
            if begins && !unit.state.is_final() { launch(unit, index) } else { None }
        }
        Some(Status::Dead) => part.seen.as_ref().map(|seen| Action::Remove { id: seen.id.clone() }),
    }
}

/// A container that fails its checks, or lost the one whose network it shares, is stopped: its end is then dealt with
/// like any other. Older containers go, but for the last, whose log tells why.
fn tend_running(unit: &Unit, index: usize) -> Option<Action> {
    let part = unit.parts.get(index)?;
    let spec = unit.assignment.spec.containers.get(index)?;
    let seen = part.seen.as_ref()?;
    let owner = owner(unit).filter(|_| index > 0);
    let lost_network = owner.is_some_and(|owner| seen.network_of.as_deref() != Some(owner));
    if lost_network || health::of_part(part, spec) == Health::Unhealthy {
        return Some(stop(unit, index, seen));
    }
    if part.knows == Knows::Outdated
        && let Rotation::Signal(signal) = &unit.assignment.spec.rotation
    {
        return Some(Action::Signal { id: seen.id.clone(), signal: signal.clone() });
    }
    let dispensable = part.older.len().checked_sub(2).and_then(|_| part.older.first());
    dispensable.map(|older| Action::Remove { id: older.id.clone() })
}

/// The engine's id of the living container that owns the network namespace of the task.
fn owner(unit: &Unit) -> Option<&str> {
    let first = unit.parts.first()?;
    first.seen.as_ref().filter(|seen| seen.is_alive()).map(|seen| seen.id.as_str())
}

fn launch(unit: &mut Unit, index: usize) -> Option<Action> {
    let spec = unit.assignment.spec.containers.get(index)?;
    if !spec.after.iter().all(|after| is_met(unit, after.on.as_str(), after.condition)) {
        return None;
    }
    if secret::missing(unit, index).is_some() {
        secret::wait(unit, index);
        return None;
    }
    if unit.parts.get(index)?.needs_image {
        return Some(Action::Pull { image: spec.image.clone() });
    }
    let network_of = owner(unit).map(str::to_owned).filter(|_| index > 0);
    if index > 0 && network_of.is_none() {
        return None;
    }
    let assignment = unit.assignment.clone();
    let part = unit.parts.get_mut(index)?;
    part.attempt = part.attempt.max(1);
    Some(Action::Launch(Box::new(Launch {
        task: assignment.task,
        project: assignment.project,
        service: assignment.service,
        generation: assignment.generation,
        container: part.name.clone(),
        attempt: part.attempt,
        spec: assignment.spec,
        network_of,
    })))
}

fn is_met(unit: &Unit, on: &str, condition: DependencyCondition) -> bool {
    let mut parts = unit.parts.iter().zip(&unit.assignment.spec.containers);
    let Some((part, spec)) = parts.find(|(part, _)| part.name.as_str() == on) else { return true };
    match condition {
        // What has done its work by now was started, and was well.
        DependencyCondition::Started => part.is_alive() || part.is_over,
        DependencyCondition::Healthy => part.is_alive() && is_well(part, spec) || part.is_over,
        DependencyCondition::Completed => part.is_over,
    }
}

fn is_well(part: &Part, spec: &ContainerSpec) -> bool {
    match health::of_part(part, spec) {
        Health::Unchecked | Health::Healthy => true,
        Health::Starting | Health::Unhealthy => false,
    }
}

/// Deals with a container that ended: again, or over.
fn end(unit: &mut Unit, index: usize, exit: &model::task::Exit, now: Timestamp) {
    let Some(part) = unit.parts.get(index) else { return };
    let was_unhealthy = part.probe.health == Health::Unhealthy
        || part.seen.as_ref().is_some_and(|seen| seen.health == Some(Health::Unhealthy));
    let verdict = restart::judge(unit, part, exit);
    let streak = restart::next_streak(part, exit);
    let why = if was_unhealthy { describe_unhealthy(part) } else { exit.to_string() };
    match verdict {
        Verdict::Again(at) => {
            let wait = at.since(now).as_secs();
            unit.note = format!("{why}; starts again{}", when(wait));
            if let Some(part) = unit.parts.get_mut(index) {
                part.streak = streak;
                part.not_before = at;
                part.begin_attempt();
            }
        }
        Verdict::Finished => {
            if let Some(part) = unit.parts.get_mut(index) {
                part.is_over = true;
            }
        }
        Verdict::Broken => {
            let reason = format!("{}: {why}", part.name);
            unit.state = TaskState::Failed { kind: FailureKind::Application, reason };
        }
    }
}

fn describe_unhealthy(part: &Part) -> String {
    match part.probe.last_error.as_str() {
        "" => "failed its health check".to_owned(),
        error => format!("failed its health check: {error}"),
    }
}

fn when(seconds: u64) -> String {
    if seconds == 0 { " now".to_owned() } else { format!(" in {seconds} s") }
}

/// Works out the state of the task from its parts.
fn observe(unit: &mut Unit, end: Option<End>, now: Timestamp) {
    if unit.state.is_final() {
        return;
    }
    let is_ending = end.is_some_and(|end| end.is_due);
    if (is_ending || !unit.wants_to_run()) && !unit.is_alive() && unit.doing.is_none() {
        if !unit.is_in_doubt(now) {
            let is_wanted = unit.wants_to_run();
            unit.state = if is_wanted { outlook::over() } else { TaskState::Completed };
        }
        return;
    }
    let lasting = |part: &&Part| !unit.prepares(&part.name);
    if unit.parts.iter().filter(lasting).all(|part| part.is_over) {
        unit.state = TaskState::Completed;
        return;
    }
    let is_up = unit.parts.iter().all(|part| part.is_alive() || part.is_over);
    unit.state = if is_up { running(unit, now) } else { not_up(unit) };
}

fn not_up(unit: &Unit) -> TaskState {
    if unit.parts.iter().any(|part| part.needs_image) {
        return TaskState::Fetching;
    }
    if unit.is_begun() { TaskState::Preparing } else { unit.state.clone() }
}

fn running(unit: &Unit, now: Timestamp) -> TaskState {
    let parts = unit.parts.iter().zip(&unit.assignment.spec.containers);
    let living = parts.filter(|(part, _)| part.is_alive());
    let health = health::worst(living.map(|(part, spec)| health::of_part(part, spec)));
    match &unit.state {
        TaskState::Running { health: before, .. } if *before == health => unit.state.clone(),
        TaskState::Pending
        | TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. }
        | TaskState::Completed
        | TaskState::Failed { .. }
        | TaskState::Lost => TaskState::Running { since: now, health },
    }
}
