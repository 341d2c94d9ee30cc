//! Says which slots may move to the target now, and when a rollout has succeeded or failed.

use model::id::ServiceId;
use model::service::{Service, ServicePhase};
use model::spec::FailureAction;
use model::task::{Health, Task, TaskState};

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
    let policy = service.target.spec.update;
    let failed =
        draft.cluster.tasks_of(&service.id).filter(|task| has_failed(task, service)).count();
    let is_over = failed * 1000 > wanted.len() * policy.max_failure_permille as usize;
    match policy.on_failure {
        FailureAction::Rollback if is_over && back_to_stable(draft, service).is_some() => return,
        FailureAction::Rollback | FailureAction::Pause if is_over => {
            return halt(draft, service, failed);
        }
        FailureAction::Rollback | FailureAction::Pause | FailureAction::Continue => {}
    }
    let slots = slot::slots(draft.cluster, service);
    let progress = |wanted| {
        slots
            .get(wanted)
            .map_or(Progress::Moving, |tasks| slot::progress(tasks, service, draft.now))
    };
    let (mut moving, mut old, mut done) = (0, Vec::new(), 0);
    for slot in &wanted {
        match progress(slot) {
            Progress::Old => old.push(slot.clone()),
            Progress::Moving => moving += 1,
            Progress::Done => done += 1,
        }
    }
    if done == wanted.len() {
        let stable = Some(service.target.clone());
        draft.put_service(Service { stable, phase: ServicePhase::Steady, ..service.clone() });
        return;
    }
    let room = (policy.parallelism as usize).saturating_sub(moving);
    draft.admitted.insert(service.id.clone(), old.into_iter().take(room).collect());
}

/// A task of the rollout that ended badly, was started again or fails its checks. Tasks from before do not count.
fn has_failed(task: &Task, service: &Service) -> bool {
    let is_ours = task.generation.number == service.target.number;
    let is_unhealthy = matches!(task.state, TaskState::Running { health: Health::Unhealthy, .. });
    let is_failed = matches!(task.state, TaskState::Failed { .. });
    is_ours && (is_failed || is_unhealthy || task.restarts > 0)
}

fn halt(draft: &mut Draft<'_>, service: &Service, failed: usize) {
    let reason = format!(
        "{failed} new tasks failed, and there is nothing to roll back to or the policy is to pause; deploy a new spec or roll back"
    );
    draft.put_service(Service { phase: ServicePhase::Halted { reason }, ..service.clone() });
}
