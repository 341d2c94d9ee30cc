//! Says which slots may move to the target now, and when a rollout has succeeded or failed.

use std::sync::Arc;

use model::id::ServiceId;
use model::service::{Service, ServicePhase, Verdict};
use model::spec::FailureAction;
use model::task::{FailureKind, Health, Task, TaskState};
use model::time::Timestamp;

use crate::absorb::back_to_stable;
use crate::draft::Draft;
use crate::plan::slot::{self, Progress};

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    match &service.phase {
        ServicePhase::Rolling { .. } => roll(draft, &service),
        ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => {}
    }
}

fn roll(draft: &mut Draft<'_>, service: &Service) {
    let wanted = slot::wanted(draft.cluster, service);
    let (policy, now) = (service.target.spec.update, draft.now);
    let failed =
        draft.cluster.tasks_of(&service.id).filter(|task| has_failed(task, service, now)).count();
    let is_over = failed * 1000 > wanted.len() * policy.max_failure_permille as usize;
    match policy.on_failure {
        FailureAction::Rollback
            if is_over && back_to_stable(draft, service, Verdict::Failed).is_some() =>
        {
            return;
        }
        FailureAction::Rollback | FailureAction::Pause if is_over => {
            return halt(draft, service, failed);
        }
        FailureAction::Rollback | FailureAction::Pause | FailureAction::Continue => {}
    }
    let progress =
        |slot| slot::progress(draft.cluster.tasks_in(&service.id, slot), service, draft.now);
    let (mut moving, mut old, mut done) = (0, Vec::new(), 0);
    for slot in &wanted {
        match progress(slot) {
            Progress::Old => old.push(slot.clone()),
            Progress::Moving => moving += 1,
            Progress::Done => done += 1,
        }
    }
    if done == wanted.len() {
        let stable = Some(Arc::clone(&service.target));
        draft.put_service(Service { stable, phase: ServicePhase::Steady, ..service.clone() });
        return;
    }
    watch_deadlines(draft, service);
    let room = (policy.parallelism as usize).saturating_sub(moving);
    draft.admitted.insert(service.id.clone(), old.into_iter().take(room).collect());
}

/// A task of the rollout that ended badly, was started again, fails its checks, or has been on a node for longer than
/// the deadline without serving. Tasks from before do not count, nor does what is the fault of a registry or a node.
fn has_failed(task: &Task, service: &Service, now: Timestamp) -> bool {
    if task.generation.number != service.target.number
        || !task.is_wanted() && !task.state.is_final()
    {
        return false;
    }
    match &task.state {
        TaskState::Failed { kind: FailureKind::Application, .. }
        | TaskState::Running { health: Health::Unhealthy, .. } => true,
        TaskState::Failed { kind: FailureKind::Image | FailureKind::Host, .. }
        | TaskState::Pending
        | TaskState::Completed
        | TaskState::Lost => false,
        TaskState::Assigned | TaskState::Preparing | TaskState::Running { .. } => {
            task.restarts > 0 || deadline(task, service).is_some_and(|at| at <= now)
        }
    }
}

/// When a task on a node that does not serve yet has taken too long.
fn deadline(task: &Task, service: &Service) -> Option<Timestamp> {
    let is_placed = task.node.is_some() && !task.state.is_final();
    let waits = is_placed && task.state.serving_since().is_none();
    waits.then(|| task.created_at + service.target.spec.update.progress_deadline)
}

/// Looks again when the first of the new tasks runs out of time.
fn watch_deadlines(draft: &mut Draft<'_>, service: &Service) {
    let ours = |task: &&Arc<Task>| task.generation.number == service.target.number;
    let tasks = draft.cluster.tasks_of(&service.id).filter(ours);
    let next = tasks.filter_map(|task| deadline(task, service)).filter(|at| *at > draft.now).min();
    if let Some(at) = next {
        draft.wake(&service.id, at);
    }
}

fn halt(draft: &mut Draft<'_>, service: &Service, failed: usize) {
    let reason = format!(
        "{failed} new tasks failed, and there is nothing to roll back to or the policy is to pause; deploy a new spec or roll back"
    );
    draft.put_service(Service { phase: ServicePhase::Halted { reason }, ..service.clone() });
}
