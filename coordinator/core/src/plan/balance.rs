//! Moves tasks to where their service is spread better, after nodes have come or room has come free, one of each service at a time.
//!
//! A task is only marked here. It then leaves as from a node that is being emptied ([`super::leaving`]): another is made,
//! has to settle, and only then this one stops. So nothing that can not run twice ever moves, and no service has fewer
//! tasks that serve. Each move makes the spread better by itself, so they come to an end.

use std::sync::Arc;
use std::time::Duration;

use model::id::ServiceId;
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::{StopCause, Task};
use model::time::Timestamp;

use crate::cluster::{Cluster, Line};
use crate::draft::Draft;
use crate::plan::{leaving, place, slot};

/// From a move until the next are thought of: the first has to settle.
const PAUSE: Duration = Duration::from_secs(30);

/// From some services that were looked at to the next.
const BREATH: Duration = Duration::from_millis(200);

/// So many services are looked at in one step: for each the best node is looked for.
const LOOK: usize = 16;

/// So many tasks move at once. Each costs the cluster its room twice.
const AT_ONCE: usize = 10;

/// A move that has not come to an end is called off: there was room, and there is not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    call_off(draft);
    // Machines come and go by the wave: what is moved between now would be moved again.
    if draft.cluster.open_refreshes().next().is_some() {
        draft.cluster.round.at = draft.cluster.round.at.map(|at| at.max(draft.now + PAUSE));
        return;
    }
    if draft.is_full() || draft.cluster.round.at.is_none_or(|at| at > draft.now) {
        return;
    }
    let after = draft.cluster.round.after.take();
    let services = draft.cluster.services().keys();
    let rest = services.filter(|id| after.as_ref().is_none_or(|after| *id > after));
    let some: Vec<ServiceId> = rest.take(LOOK).cloned().collect();
    for id in &some {
        let moving = draft.cluster.moving().count();
        if moving >= AT_ONCE || draft.is_full() {
            break;
        }
        if let Some(task) = surplus(draft, id) {
            draft.cluster.round.has_moved = true;
            draft.put_task(Task { moving_since: Some(draft.now), ..(*task).clone() });
            draft.touch_slot(id, &task.slot);
        }
    }
    let is_over = some.len() < LOOK;
    let round = &mut draft.cluster.round;
    round.after = some.into_iter().next_back().filter(|_| !is_over);
    round.at = match (is_over, round.has_moved) {
        (false, _) => Some(draft.now + BREATH),
        (true, true) => Some(draft.now + PAUSE),
        (true, false) => None,
    };
    round.has_moved &= !is_over;
}

/// Tasks that have waited for too long to move stay where they are.
fn call_off(draft: &mut Draft<'_>) {
    let is_late =
        |task: &&Arc<Task>| task.moving_since.is_some_and(|since| since + PATIENCE <= draft.now);
    let late: Vec<Arc<Task>> = draft.cluster.moving().filter(is_late).cloned().collect();
    for task in late {
        if draft.is_full() {
            return;
        }
        draft.put_task(Task { moving_since: None, ..(*task).clone() });
        leaving::stay(draft, &task);
    }
}

/// A task of the service that would be better elsewhere, if one would.
fn surplus(draft: &mut Draft<'_>, id: &ServiceId) -> Option<Arc<Task>> {
    let service = draft.cluster.services().get(id).cloned()?;
    if !may_move(draft.cluster, &service) {
        return None;
    }
    let task = most_crowded(draft.cluster, &service, draft.now)?;
    place::is_better_elsewhere(draft.cluster, &task, draft.now).then_some(task)
}

fn may_move(cluster: &Cluster, service: &Service) -> bool {
    let has_some = match service.target.spec.mode {
        Mode::Replicated { replicas } => replicas >= 2,
        Mode::Global | Mode::Once | Mode::Job(_) => false,
    };
    has_some
        && service.phase == ServicePhase::Steady
        && !service.target.spec.is_left_in_place
        && slot::starts_first(service)
        && !service.target.spec.task.is_exclusive()
        && !cluster.moving().any(|task| task.service == service.id)
}

/// The task whose node costs the most by what its service would rather have; then the one that has the most others of its
/// service in its zone, and then on its node; the newest of those.
fn most_crowded(cluster: &Cluster, service: &Service, now: Timestamp) -> Option<Arc<Task>> {
    let line = cluster.spread(&service.id)?.line(service.target.template)?;
    let is_settled = |task: &Task| {
        slot::is_current(task, service)
            && slot::settles_at(task, service).is_some_and(|at| at <= now)
            && !cluster.is_leaving(task)
    };
    let is_alone = |task: &Task| {
        let beside = cluster.tasks_in(&service.id, &task.slot).iter();
        beside.filter(|other| !other.state.is_final()).count() == 1
    };
    let tasks = cluster.tasks_of(&service.id).filter(|task| is_settled(task) && is_alone(task));
    let spec = &service.target.spec;
    let leaning = place::Leaning::of(cluster, spec, Some(&|number| line.on_node(number)));
    let crowd =
        |task: &&Arc<Task>| (crowd(cluster, (line, leaning.as_ref()), task), task.id.clone());
    tasks.max_by_key(crowd).cloned()
}

fn crowd(
    cluster: &Cluster,
    (line, leaning): (&Line, Option<&place::Leaning>),
    task: &Task,
) -> (u64, usize, usize) {
    let Some(spot) = cluster.spot(task) else { return (0, 0, 0) };
    let cost = leaning.map_or(0, |leaning| leaning.cost(spot.node));
    (cost, spot.zone.map_or(0, |zone| line.in_zone(zone)), line.on_node(spot.node))
}

/// When the first of the moves that go on has gone on for too long.
pub(crate) fn next_deadline(cluster: &Cluster) -> Option<Timestamp> {
    cluster.moving().filter_map(|task| task.moving_since).min().map(|since| since + PATIENCE)
}

/// Why a task is stopped that another has taken the place of.
pub(crate) fn cause(cluster: &Cluster, task: &Task) -> StopCause {
    if cluster.is_on_draining(task) { StopCause::Drain } else { StopCause::Balance }
}
