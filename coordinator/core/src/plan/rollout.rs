//! Says which slots may move to the target now, and when a rollout has succeeded or failed.
//!
//! ```text
//!  Trial ──all settled──▶ Holding ──held for long enough, or promoted──▶ Everywhere ──all settled──▶ steady
//!     │                      └──of both generations──▶ Switching ──all have requests──▶ Keeping ──kept for long enough──▲
//!     └─────────────────── too many failed: back to what was healthy, or halted ──┘
//! ```
//!
//! While an operator holds it nothing is begun and nothing is judged; what was begun goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::rollout::{Pace, Promotion, Rollout, Stage, Trial};
use model::service::{Service, ServicePhase, Verdict};
use model::spec::FailureAction;
use model::task::{FailureKind, Health, Task, TaskState};
use model::time::Timestamp;

use crate::absorb::back_to_stable;
use crate::draft::Draft;
use crate::plan::fetch;
use crate::plan::slot::{self, Progress};

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    match &service.phase {
        ServicePhase::Rolling(rollout) => match rollout.pace {
            Pace::Going { since } => roll(draft, &service, (rollout, since)),
            Pace::Paused { .. } => hold(draft, &service),
        },
        ServicePhase::Halted { .. } => hold(draft, &service),
        ServicePhase::Steady | ServicePhase::Removing => {}
    }
}

/// The target comes to no further slot. Where it has been switched to it has them all, and what is lost is made anew.
fn hold(draft: &mut Draft<'_>, service: &Service) {
    if service.stage().is_switched() {
        let slots = slot::wanted(draft.cluster, service).into_iter().collect();
        draft.admitted.insert(service.id.clone(), slots);
    } else {
        draft.reach.insert(service.id.clone(), BTreeSet::new());
    }
}

/// Says whether the rollout of a service goes on only when an operator says so.
pub(crate) fn is_held(service: &Service) -> bool {
    let ServicePhase::Rolling(rollout) = &service.phase else { return false };
    let trial = service.target.spec.update.trial;
    let is_manual = trial.is_some_and(|trial| trial.promotion() == Promotion::Manual);
    match rollout.stage {
        _ if rollout.is_paused() => true,
        Stage::Holding { .. } => is_manual,
        Stage::Trial | Stage::Switching { .. } | Stage::Keeping { .. } | Stage::Everywhere => false,
    }
}

/// Of the slots that a service should have those to which the target may go.
pub(crate) fn open(service: &Service, stage: Stage, mut wanted: Vec<Slot>) -> Vec<Slot> {
    match (stage, service.target.spec.update.trial) {
        (Stage::Trial | Stage::Holding { .. }, Some(trial)) => {
            wanted.truncate(trial.count(wanted.len()));
            wanted
        }
        (Stage::Trial | Stage::Holding { .. }, None)
        | (Stage::Switching { .. } | Stage::Keeping { .. } | Stage::Everywhere, _) => wanted,
    }
}

fn roll(draft: &mut Draft<'_>, service: &Service, (rollout, going_since): (&Rollout, Timestamp)) {
    let open = open(service, rollout.stage, slot::wanted(draft.cluster, service));
    if is_given_up(draft, service, (open.len(), (rollout, going_since))) {
        return;
    }
    let (mut moving, mut old, mut done) = (0, Vec::new(), Vec::new());
    let roster = draft.cluster.roster(&service.id);
    for slot in &open {
        let tasks = roster.map_or(&[][..], |roster| roster.tasks_in(slot));
        match slot::progress(tasks, service, draft.now) {
            Progress::Old => old.push(slot.clone()),
            Progress::Moving => moving += 1,
            Progress::Done => done.push(slot),
        }
    }
    if done.len() == open.len()
        && let Some(phase) = next(draft, service, rollout.stage)
    {
        let stable = match phase {
            ServicePhase::Steady => Some(Arc::clone(&service.target)),
            ServicePhase::Rolling(_) | ServicePhase::Halted { .. } | ServicePhase::Removing => {
                service.stable.clone()
            }
        };
        draft.put_service(Service { stable, phase, ..service.clone() });
        return;
    }
    watch_deadlines(draft, service, (rollout, going_since));
    // What does not serve costs nobody anything, and may be all that the service can spare.
    old.sort_by_key(|slot| serves(draft.cluster.tasks_in(&service.id, slot)));
    let rests = rests_until(draft, service, &done);
    rests.into_iter().for_each(|at| draft.wake(&service.id, at));
    let most = service.target.spec.update.parallelism as usize;
    let room = if rests.is_some() { 0 } else { most.saturating_sub(moving) };
    if !slot::starts_first(service) {
        // Those whose turn is next have what they need by then.
        let soon = old.get(..room + most).unwrap_or(&old);
        fetch::ahead(draft, service, soon);
    }
    draft.admitted.insert(service.id.clone(), old.into_iter().take(room).collect());
    if rollout.stage != Stage::Everywhere {
        draft.reach.insert(service.id.clone(), open.into_iter().collect());
    }
}

fn serves(tasks: &[Arc<Task>]) -> bool {
    tasks.iter().any(|task| task.is_wanted() && task.serving_since().is_some())
}

/// What follows once all slots that may be moved have settled; nothing while a canary has to be watched.
fn next(draft: &mut Draft<'_>, service: &Service, stage: Stage) -> Option<ServicePhase> {
    let ServicePhase::Rolling(rollout) = &service.phase else { return None };
    let at = |stage| ServicePhase::Rolling(Rollout { stage, ..rollout.clone() });
    let trial = service.target.spec.update.trial;
    match (stage, trial) {
        (Stage::Everywhere, _) => Some(ServicePhase::Steady),
        (Stage::Trial, Some(_)) => Some(at(Stage::Holding { since: draft.now })),
        (Stage::Holding { since }, Some(trial)) => match trial.promotion() {
            Promotion::Automatic if since + trial.hold() <= draft.now => {
                Some(at(promoted(service, draft.now)))
            }
            Promotion::Automatic => {
                draft.wake(&service.id, since + trial.hold());
                None
            }
            Promotion::Manual => None,
        },
        (Stage::Switching { .. }, Some(Trial::BlueGreen(_))) => {
            Some(at(Stage::Keeping { since: draft.now }))
        }
        (Stage::Keeping { since }, Some(Trial::BlueGreen(both)))
            if draft.now < since + both.keep =>
        {
            draft.wake(&service.id, since + both.keep);
            None
        }
        (Stage::Trial | Stage::Holding { .. }, None)
        | (Stage::Switching { .. } | Stage::Keeping { .. }, _) => Some(at(Stage::Everywhere)),
    }
}

/// What follows when what is tried was found good.
pub(crate) fn promoted(service: &Service, now: Timestamp) -> Stage {
    match service.target.spec.update.trial {
        Some(Trial::BlueGreen(_)) => Stage::Switching { since: now },
        Some(Trial::Canary(_)) | None => Stage::Everywhere,
    }
}

/// Until when the next slot is not begun, because one has settled only just now.
fn rests_until(draft: &Draft<'_>, service: &Service, done: &[&Slot]) -> Option<Timestamp> {
    let policy = service.target.spec.update;
    if policy.delay.is_zero() {
        return None;
    }
    let tasks = done.iter().flat_map(|slot| draft.cluster.tasks_in(&service.id, slot));
    let current = tasks.filter(|task| slot::is_current(task, service));
    let settled = current.filter_map(|task| slot::settles_at(task, service)).max();
    settled.map(|at| at + policy.delay).filter(|at| *at > draft.now)
}

/// Goes back or stops when too many new tasks have failed.
fn is_given_up(
    draft: &mut Draft<'_>,
    service: &Service,
    (slots, watch): (usize, (&Rollout, Timestamp)),
) -> bool {
    let (policy, now) = (service.target.spec.update, draft.now);
    let tasks = draft.cluster.tasks_of(&service.id);
    let failed = tasks.filter(|task| has_failed(task, (service, watch), now)).count();
    let share = slots * policy.max_failure_permille as usize / 1000;
    if failed <= policy.tolerance.of(share) {
        return false;
    }
    match policy.on_failure {
        FailureAction::Continue => false,
        FailureAction::Rollback if back_to_stable(draft, service, Verdict::Failed).is_some() => {
            true
        }
        FailureAction::Rollback | FailureAction::Pause => {
            halt(draft, service, failed);
            true
        }
    }
}

/// A task of the rollout that ended badly, was started again, fails its checks, or has been on a node for longer than
/// the deadline without serving. Tasks from before do not count, nor does what is the fault of a registry or a node. What
/// was made before an operator said to go on is forgiven, but has to come up in time.
fn has_failed(
    task: &Task,
    (service, watch): (&Service, (&Rollout, Timestamp)),
    now: Timestamp,
) -> bool {
    let (rollout, going_since) = watch;
    if task.generation.template != service.target.template
        || task.created_at < rollout.since
        || !task.is_wanted() && !task.state.is_final()
    {
        return false;
    }
    let is_forgiven = task.created_at < going_since;
    let is_late = deadline(task, service, counts_from(rollout, going_since));
    let is_late = is_late.is_some_and(|at| at <= now);
    match &task.state {
        TaskState::Failed { kind: FailureKind::Application, .. } => !is_forgiven,
        TaskState::Failed { kind: FailureKind::Image | FailureKind::Host, .. }
        | TaskState::Pending
        | TaskState::Completed
        | TaskState::Lost => false,
        TaskState::Running { health: Health::Unhealthy, .. } => !is_forgiven || is_late,
        TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. } => task.restarts > 0 && !is_forgiven || is_late,
    }
}

/// From when on the time of tasks counts. That of new ones that load balancers are to send requests begins with the switch.
fn counts_from(rollout: &Rollout, going_since: Timestamp) -> Timestamp {
    match rollout.stage {
        Stage::Switching { since } | Stage::Keeping { since } => since.max(going_since),
        Stage::Trial | Stage::Holding { .. } | Stage::Everywhere => going_since,
    }
}

/// When a task on a node that does not serve yet has taken too long. Time without a node or its images, and time in which
/// the rollout stood still, is not its fault.
fn deadline(task: &Task, service: &Service, from: Timestamp) -> Option<Timestamp> {
    let is_placed = task.node.is_some() && !task.state.is_final();
    let is_fetching = task.state == TaskState::Fetching;
    let waits = is_placed && !is_fetching && slot::ready_since(task, service).is_none();
    let begins = task.clock_since.unwrap_or(task.created_at).max(from);
    waits.then(|| begins + service.target.spec.update.progress_deadline)
}

/// Looks again when the first of the new tasks runs out of time.
fn watch_deadlines(
    draft: &mut Draft<'_>,
    service: &Service,
    (rollout, going_since): (&Rollout, Timestamp),
) {
    let is_ours = |task: &&Arc<Task>| {
        task.generation.template == service.target.template && task.created_at >= rollout.since
    };
    let tasks = draft.cluster.tasks_of(&service.id).filter(is_ours);
    let from = counts_from(rollout, going_since);
    let deadlines = tasks.filter_map(|task| deadline(task, service, from));
    let next = deadlines.filter(|at| *at > draft.now).min();
    next.into_iter().for_each(|at| draft.wake(&service.id, at));
}

fn halt(draft: &mut Draft<'_>, service: &Service, failed: usize) {
    let tasks = if failed == 1 { "task" } else { "tasks" };
    let reason = format!(
        "{failed} new {tasks} failed, and there is nothing to roll back to or the policy is to pause; deploy a new spec, roll back, or resume"
    );
    let phase = ServicePhase::Halted { reason, stage: service.stage() };
    draft.put_service(Service { phase, ..service.clone() });
}
