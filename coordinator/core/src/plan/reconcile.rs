//! Sees to it that each slot has its task and nothing besides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{ServiceId, Slot, TaskId};
use model::service::{Generation, Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;
use model::traffic::Traffic;

use crate::cluster::Change;
use crate::draft::Draft;
use crate::plan::budget::{self, Purpose};
use crate::plan::slot::Reach;
use crate::plan::{Scope, balance, depend, fetch, leaving, place, returning, slot};

/// The first wait before a failed task is replaced; doubled with each failure of the slot that is still remembered.
const BACKOFF: Duration = Duration::from_secs(10);
/// No wait is longer.
const BACKOFF_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId, scope: &Scope) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    let (wanted, unwanted) = sort(draft, &service, scope);
    for task in unwanted {
        if draft.is_full() {
            return scope.put_off(draft, id);
        }
        returning::dismiss(draft, &task, StopCause::Operator);
    }
    let blue = slot::blue(&service);
    let mut empty = Vec::new();
    for (slot, tasks) in unsettled(draft, &service, wanted) {
        // One more is written with the first task that is made.
        if draft.room() <= empty.len() + 1 {
            scope.put_off(draft, id);
            break;
        }
        let made = match &blue {
            None => [wants_task(draft, &service, &slot, &tasks), None],
            Some(blue) => wants_both(draft, (&service, blue), &slot, &tasks),
        };
        for generation in made.into_iter().flatten() {
            if draft.room() <= empty.len() + 1 {
                scope.put_off(draft, id);
                break;
            }
            empty.push((slot.clone(), generation));
        }
    }
    fill(draft, &service, empty);
}

/// What the slot needs while all of the target is tried beside what was there: each of the two is dealt with as if it were alone.
/// The target comes to a slot only when it is admitted there.
fn wants_both(
    draft: &mut Draft<'_>,
    (service, blue): (&Service, &Service),
    slot: &Slot,
    tasks: &[Arc<Task>],
) -> [Option<Arc<Generation>>; 2] {
    let is_green = |task: &Arc<Task>| task.generation.template == service.target.template;
    let (green, before): (Vec<_>, Vec<_>) = tasks.iter().cloned().partition(is_green);
    // What it is made of has the number of replicas that it had then.
    let kept = wants_task(draft, blue, slot, &before).and_then(|_| service.stable.clone());
    let is_there = green.iter().any(|task| slot::is_current(task, service));
    let is_admitted = draft.admitted.get(&service.id).is_some_and(|slots| slots.contains(slot));
    let tried = wants_task(draft, service, slot, &green);
    [kept, tried.filter(|_| is_there || is_admitted)]
}

/// The slots that the service should have, and the tasks that are in others.
fn sort(draft: &Draft<'_>, service: &Service, scope: &Scope) -> (Vec<Slot>, Vec<Arc<Task>>) {
    let cluster = &*draft.cluster;
    match scope {
        Scope::All => {
            let wanted = slot::wanted(cluster, service);
            // They are in the order of slots: made from a range, or from nodes by id.
            let is_unwanted = |(slot, _): &(&Slot, _)| wanted.binary_search(slot).is_err();
            let unwanted = cluster.slots_of(&service.id).filter(is_unwanted);
            let unwanted = unwanted.flat_map(|(_, tasks)| tasks).cloned().collect();
            (wanted, unwanted)
        }
        Scope::Slots(slots) => {
            let (wanted, unwanted): (Vec<Slot>, Vec<Slot>) =
                slots.iter().cloned().partition(|slot| slot::wants(cluster, service, slot));
            let unwanted = unwanted.iter().flat_map(|slot| cluster.tasks_in(&service.id, slot));
            (wanted, unwanted.cloned().collect())
        }
    }
}

/// Those of the slots about which there is something to decide, and the tasks of each.
fn unsettled(
    draft: &mut Draft<'_>,
    service: &Service,
    wanted: Vec<Slot>,
) -> Vec<(Slot, Vec<Arc<Task>>)> {
    let (mut unsettled, mut settles_at) = (Vec::with_capacity(wanted.len()), None);
    let roster = draft.cluster.roster(&service.id);
    for slot in wanted {
        let tasks = roster.map_or(&[][..], |roster| roster.tasks_in(&slot));
        match settled(tasks, service).filter(|only| !draft.cluster.is_leaving(only)) {
            Some(only) => {
                let at = slot::settles_at(only, service).filter(|at| *at > draft.now);
                settles_at = settles_at.into_iter().chain(at).min();
            }
            None => unsettled.push((slot, tasks.to_vec())),
        }
    }
    settles_at.into_iter().for_each(|at| draft.wake(&service.id, at));
    unsettled
}

/// The task of a slot about which there is nothing to decide: the only one, of the target, and on a node.
fn settled<'a>(tasks: &'a [Arc<Task>], service: &Service) -> Option<&'a Arc<Task>> {
    let [only] = tasks else { return None };
    Some(only).filter(|task| task.node.is_some() && slot::is_current(task, service))
}

fn fill(draft: &mut Draft<'_>, service: &Service, slots: Vec<(Slot, Arc<Generation>)>) {
    let stays = service.phase != ServicePhase::Removing;
    debug_assert!(stays || slots.is_empty(), "a service that goes wants no slots");
    let slots = slots.into_iter().map(|(slot, generation)| (slot, generation, 0)).collect();
    make(draft, slots);
}

/// A slot, the generation that a task is to be made of for it, and how often others have failed there.
pub(super) type Empty = (Slot, Arc<Generation>, u32);

/// Makes a task for each slot. The numbers are written off first: a crash in between skips some and repeats none.
pub(super) fn make(draft: &mut Draft<'_>, slots: Vec<Empty>) {
    let first = match draft.cluster.next_task() {
        0 => first_number(draft.now),
        next => next,
    };
    if !slots.is_empty() {
        draft.write(Change::PutNextTask(first + slots.len() as u64));
    }
    draft.made.reserve(slots.len());
    (first..).zip(slots).for_each(|(number, empty)| create(draft, empty, number));
}

/// Where a new store begins to count: at the milliseconds since 2026. Agents may still run tasks of a store that was
/// lost, and an id that is used twice would give them a new spec under an old name. No store makes a thousand tasks a
/// second for as long as it lives, so the count of one ends before that of the next begins.
fn first_number(now: Timestamp) -> u64 {
    const YEAR_2026: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    u64::try_from(now.since(YEAR_2026).as_millis()).unwrap_or(u64::MAX)
}

/// Stops what has to go from the slot, and says of which generation a new task is to be made, if one is.
fn wants_task(
    draft: &mut Draft<'_>,
    service: &Service,
    slot: &Slot,
    tasks: &[Arc<Task>],
) -> Option<Arc<Generation>> {
    if tasks.is_empty() {
        let is_free = depend::is_free(draft.cluster, service);
        return is_free.then(|| Arc::clone(next_generation(draft, service, (slot, tasks))));
    }
    let tasks = &returning::reunite(draft, service, tasks)[..];
    let ended = tasks.iter().filter(|task| task.state.is_final());
    ended.for_each(|task| draft.stop(task, StopCause::Ended));
    let (current, old): (Vec<_>, Vec<_>) = tasks
        .iter()
        .filter(|task| !task.state.is_final())
        .partition(|task| slot::is_current(task, service));
    superseded(&old).for_each(|task| draft.stop(task, StopCause::Update));
    let (leaving, current): (Vec<_>, Vec<_>) =
        current.into_iter().partition(|task| draft.cluster.is_leaving(task));
    let next = |draft: &mut Draft<'_>, generation: &Arc<Generation>| {
        may_create(draft, service, (tasks, generation)).then(|| Arc::clone(generation))
    };
    if let Some((keep, doubles)) = current.split_first() {
        doubles.iter().for_each(|task| draft.stop(task, StopCause::Duplicate));
        replace_when_settled(draft, service, keep, (&old, StopCause::Update));
        for task in &leaving {
            let cause = balance::cause(draft.cluster, task);
            replace_when_settled(draft, service, keep, (&[*task], cause));
        }
        return None;
    }
    if let Some(keep) = leaving::kept(&leaving) {
        replace_when_settled(draft, service, keep, (&old, StopCause::Update));
        let wants_next = leaving::wants_next(draft, service, &leaving);
        return if wants_next { next(draft, &service.target) } else { None };
    }
    if !depend::is_free(draft.cluster, service) {
        return None;
    }
    if old.is_empty() {
        let generation = next_generation(draft, service, (slot, tasks));
        return next(draft, generation);
    }
    let is_rolling = service.phase != ServicePhase::Steady;
    let is_admitted =
        is_rolling && draft.admitted.get(&service.id).is_some_and(|slots| slots.contains(slot));
    let runs = old.iter().any(|task| task.desired == DesiredState::Run);
    let made = if runs && is_admitted { next(draft, &service.target) } else { None };
    if made.is_none() || slot::starts_first(service) {
        return made;
    }
    if !fetch::is_done(draft, service, &old) {
        return None;
    }
    let may =
        |task: &&&Arc<Task>| budget::ask(draft.cluster, service, task, Purpose::Rollout).is_ok();
    let spared: Vec<_> = old.iter().filter(may).collect();
    spared.iter().for_each(|task| draft.stop(task, StopCause::Update));
    None
}

/// The generation of which a new task of the slot is to be.
fn next_generation<'a>(
    draft: &Draft<'_>,
    service: &'a Service,
    (slot, tasks): (&Slot, &[Arc<Task>]),
) -> &'a Arc<Generation> {
    let is_shut = |reach: &BTreeSet<Slot>| {
        if reach.contains(slot) { Reach::Target } else { Reach::AsItWas }
    };
    let reach = draft.reach.get(&service.id).map_or(Reach::Target, is_shut);
    slot::generation(service, tasks, reach)
}

/// Of the tasks that wait for their successor one is enough: the first that serves, or else the first. Rollouts that
/// overtake each other would otherwise fill the node with tasks of generations that nobody wants any more.
fn superseded<'a>(old: &[&'a Arc<Task>]) -> impl Iterator<Item = &'a Arc<Task>> {
    let running = old.iter().copied().filter(|task| task.desired == DesiredState::Run);
    let mut running: Vec<_> = running.collect();
    running.sort_by_key(|task| (task.serving_since().is_none(), task.created_at, task.id.clone()));
    running.into_iter().skip(1)
}

/// Stops the others once the new one has settled.
fn replace_when_settled(
    draft: &mut Draft<'_>,
    service: &Service,
    new: &Task,
    (others, cause): (&[&Arc<Task>], StopCause),
) {
    for task in place::crowding(draft.cluster, new, draft.now) {
        draft.stop(&task, StopCause::Update);
    }
    let stay = cause == StopCause::Update && slot::keeps_old(service);
    match slot::settles_at(new, service) {
        Some(at) if at <= draft.now && stay => {}
        Some(at) if at <= draft.now => others.iter().for_each(|task| draft.stop(task, cause)),
        Some(at) => draft.wake(&service.id, at),
        None => {}
    }
}

/// Says whether it is time for a new task of this generation, after those of the slot that failed.
fn may_create(
    draft: &mut Draft<'_>,
    service: &Service,
    (tasks, generation): (&[Arc<Task>], &Generation),
) -> bool {
    let (_, remembered) = slot::ended(tasks);
    let of_template: Vec<_> =
        remembered.iter().filter(|task| task.generation.template == generation.template).collect();
    let is_over = service.target.spec.mode == Mode::Once
        && of_template.iter().any(|task| task.state != TaskState::Lost && task.state.is_final());
    let not_before = not_before(&of_template);
    if draft.now < not_before {
        draft.wake(&service.id, not_before);
    }
    !is_over && not_before <= draft.now
}

/// When a slot may have a new task after those that failed.
fn not_before(tasks: &[&Arc<Task>]) -> Timestamp {
    let failed = tasks.iter().filter(|task| matches!(task.state, TaskState::Failed { .. }));
    let (mut wait, mut last) = (Duration::ZERO, Timestamp::default());
    for task in failed {
        wait = if wait.is_zero() { BACKOFF } else { (wait * 2).min(BACKOFF_LIMIT) };
        last = last.max(task.created_at);
    }
    last + wait
}

fn create(draft: &mut Draft<'_>, (slot, generation, failures): Empty, number: u64) {
    let task = pending((slot, generation), (number, draft.now));
    let secrets = draft.cluster.newest_secrets(&task.generation.spec.task);
    draft.made.push(Arc::new(Task { failures, secrets, ..task }));
}

/// A task of this generation that waits for a node.
pub(crate) fn pending(
    (slot, generation): (Slot, Arc<Generation>),
    (number, created_at): (u64, Timestamp),
) -> Task {
    let service = &generation.spec.id;
    Task {
        id: TaskId::new(service, &slot, number),
        service: service.clone(),
        slot,
        generation,
        node: None,
        room_on: None,
        desired: DesiredState::Run,
        state: TaskState::Pending,
        restarts: 0,
        note: String::new(),
        containers: Vec::new(),
        created_at,
        clock_since: None,
        moving_since: None,
        missed_at: None,
        ended_at: None,
        failures: 0,
        traffic: Traffic::Out,
        secrets: BTreeMap::new(),
    }
}
