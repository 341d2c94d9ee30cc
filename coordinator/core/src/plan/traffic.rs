//! Load balancers: who is registered with them, and what stops only when it has left them.
//!
//! ```text
//!  runs ──▶ registered ──the load balancer finds it healthy──▶ in ──told to stop──▶ leaving ──gone, or it is time──▶ its agent is told
//! ```
//!
//! What a service keeps in the dark, one of its two colours, is taken out in the same way and goes on running.
//!
//! A registration is written down before it is asked for, so that whatever is at a load balancer by our doing is known, and what
//! others have put there is left alone. To be told to stop is the coordinator's affair until then: budgets and slots
//! count the task as one that stops.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::TaskId;
use model::node::DrainPhase;
use model::task::{DesiredState, StopCause, Task};
use model::time::Timestamp;
use model::traffic::{Registration, RegistrationId, RegistrationPhase, Traffic};

use crate::cluster::{Change, Cluster, Reach};
use crate::draft::Draft;

pub(crate) fn pass(draft: &mut Draft<'_>) {
    release_what_is_late(draft);
    each_touched(draft, |draft, id| {
        take_out(draft, id);
        forget(draft, id);
        follow(draft, id);
        draft.cluster.traffic.seen.insert(id.clone());
    });
}

/// Registers what is to get requests, once everything else of the step is decided: what is told to stop in the same step, or is
/// not switched to after all, is not registered for a moment.
pub(crate) fn enter(draft: &mut Draft<'_>) {
    let seen = std::mem::take(&mut draft.cluster.traffic.seen);
    draft.cluster.traffic.touched.extend(seen);
    each_touched(draft, |draft, id| {
        put_in(draft, id);
        draft.cluster.traffic.touched.remove(id);
    });
}

/// Does this for each task that was touched, as far as there is room in the step.
fn each_touched(draft: &mut Draft<'_>, does: impl Fn(&mut Draft<'_>, &TaskId)) {
    let mut touched = std::mem::take(&mut draft.cluster.traffic.touched).into_iter();
    for id in touched.by_ref() {
        // What a task has, a few registrations and its own record, is not taken apart.
        if draft.is_full() {
            draft.cluster.traffic.touched.insert(id);
            break;
        }
        does(draft, &id);
    }
    draft.cluster.traffic.touched.extend(touched);
}

/// What was waited for long enough is stopped whatever it still gets.
fn release_what_is_late(draft: &mut Draft<'_>) {
    let now = draft.now;
    let late: Vec<TaskId> = draft
        .cluster
        .held_for_traffic()
        .filter_map(|task| {
            let Traffic::Leaving { until } = task.traffic else { return None };
            let is_late = until <= now || is_forced(draft.cluster, task);
            is_late.then(|| task.id.clone())
        })
        .collect();
    draft.cluster.traffic.touched.extend(late);
}

/// Says whether its node is emptied by force.
fn is_forced(cluster: &Cluster, task: &Task) -> bool {
    let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
    node.and_then(|node| node.drain).is_some_and(|drain| match drain.phase {
        DrainPhase::Forced { .. } => true,
        DrainPhase::Moving | DrainPhase::Drained { .. } => false,
    })
}

/// What the task should be registered as. Of one whose ports are not known it keeps none: they may be of somebody else by now.
fn wanted(cluster: &Cluster, id: &TaskId) -> BTreeSet<RegistrationId> {
    cluster.tasks().get(id).and_then(|task| cluster.wanted_of(task)).unwrap_or_default()
}

fn put_in(draft: &mut Draft<'_>, id: &TaskId) {
    for one in &wanted(draft.cluster, id) {
        // A port has one owner. Of two that say they have it the older one is over, and its agent has not said so yet.
        let is_taken =
            draft.cluster.registrations().get(one).is_some_and(|known| {
                known.phase == RegistrationPhase::Entering && known.task >= *id
            });
        if !is_taken {
            let (task, since) = (id.clone(), draft.now);
            let phase = RegistrationPhase::Entering;
            put(draft, Registration { id: one.clone(), task, since, phase });
        }
    }
}

fn take_out(draft: &mut Draft<'_>, id: &TaskId) {
    let wanted = wanted(draft.cluster, id);
    let others = draft.cluster.registrations_of(id);
    let is_unwanted = |known: &&Arc<Registration>| {
        known.phase == RegistrationPhase::Entering && !wanted.contains(&known.id)
    };
    let others: Vec<Arc<Registration>> = others.filter(is_unwanted).cloned().collect();
    for known in others {
        put(draft, Registration { phase: RegistrationPhase::Leaving, ..(*known).clone() });
    }
}

fn put(draft: &mut Draft<'_>, registration: Registration) {
    draft.write(Change::PutRegistration(Arc::new(registration)));
}

/// Forgets registrations of the task that are gone.
fn forget(draft: &mut Draft<'_>, id: &TaskId) {
    let leaving = draft.cluster.registrations_of(id);
    let leaving = leaving.filter(|known| known.phase == RegistrationPhase::Leaving);
    let gone = leaving.filter(|known| draft.cluster.has_left(known));
    let gone: Vec<RegistrationId> = gone.map(|known| known.id.clone()).collect();
    gone.into_iter().for_each(|id| draft.write(Change::RemoveRegistration(id)));
    // That was about this task.
    draft.cluster.traffic.touched.remove(id);
}

/// Writes down how the task stands with its load balancers.
fn follow(draft: &mut Draft<'_>, id: &TaskId) {
    let Some(task) = draft.cluster.tasks().get(id).cloned() else { return };
    let traffic = stands(draft.cluster, &task, draft.now);
    if traffic != task.traffic {
        draft.put_task(Task { traffic, ..(*task).clone() });
        draft.cluster.traffic.touched.remove(id);
        draft.touch_slot(&task.service, &task.slot);
        crate::absorb::touch_dependents(draft, &task.service);
    }
}

fn stands(cluster: &Cluster, task: &Task, now: Timestamp) -> Traffic {
    if task.state.is_final() {
        return Traffic::Out;
    }
    match (task.desired, task.traffic) {
        (DesiredState::Stop { .. }, Traffic::Leaving { until }) => {
            let is_registered = cluster.registrations_of(&task.id).next().is_some();
            let waits = is_registered && now < until && !is_forced(cluster, task);
            if waits { task.traffic } else { Traffic::Out }
        }
        (DesiredState::Stop { .. }, Traffic::Out | Traffic::In { .. }) => Traffic::Out,
        (DesiredState::Run, before) => reached(cluster, task, (before, now)),
    }
}

fn reached(cluster: &Cluster, task: &Task, (before, now): (Traffic, Timestamp)) -> Traffic {
    let Some(wanted) = cluster.wanted_of(task).filter(|wanted| !wanted.is_empty()) else {
        return Traffic::Out;
    };
    let reach = |id: &RegistrationId| {
        // What leaves and is to enter again is not in, whatever was shown of it before (simulation, seed 1274).
        let is_in = |known: &&Arc<Registration>| {
            known.task == task.id && known.phase == RegistrationPhase::Entering
        };
        let known = cluster.registrations().get(id).filter(is_in);
        known.map_or(Reach::No, |known| cluster.reach(known))
    };
    let reaches: Vec<Reach> = wanted.iter().map(reach).collect();
    // It was in with other ports: it was started again.
    let is_new = |since: Timestamp| {
        let mut known = cluster.registrations_of(&task.id);
        known.any(|known| wanted.contains(&known.id) && since < known.since)
    };
    match before {
        _ if reaches.contains(&Reach::No) => Traffic::Out,
        Traffic::In { since } if !reaches.contains(&Reach::Unknown) || !is_new(since) => before,
        Traffic::In { .. } | Traffic::Out | Traffic::Leaving { .. }
            if reaches.contains(&Reach::Unknown) =>
        {
            Traffic::Out
        }
        Traffic::In { .. } | Traffic::Out | Traffic::Leaving { .. } => Traffic::In { since: now },
    }
}

/// How a task that is told to stop for this reason stands with its load balancers from then on.
pub(crate) fn on_stop(
    cluster: &Cluster,
    task: &Task,
    (cause, now): (StopCause, Timestamp),
) -> Traffic {
    if let Traffic::Leaving { .. } = task.traffic {
        return task.traffic;
    }
    let runs = match cause {
        StopCause::Operator | StopCause::Drain | StopCause::Update | StopCause::Balance => true,
        StopCause::Preemption | StopCause::Duplicate | StopCause::RunOver => true,
        StopCause::Ended | StopCause::NodeDead => false,
    };
    let is_registered = cluster.registrations_of(&task.id).next().is_some();
    if !runs || !is_registered || task.state.is_final() || is_forced(cluster, task) {
        return Traffic::Out;
    }
    let routes = &task.generation.spec.task.routes;
    let longest = routes.iter().map(|route| cluster.leaves_within(route)).max();
    let until = now + longest.unwrap_or_default();
    let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
    let deadline = node.and_then(|node| node.drain).map(|drain| drain.deadline);
    Traffic::Leaving { until: deadline.map_or(until, |deadline| until.min(deadline)) }
}

/// When the first of those that leave has been waited for long enough.
pub(crate) fn next(cluster: &Cluster) -> Option<Timestamp> {
    let until = cluster.held_for_traffic().filter_map(|task| match task.traffic {
        Traffic::Leaving { until } => Some(until),
        Traffic::Out | Traffic::In { .. } => None,
    });
    until.min()
}
