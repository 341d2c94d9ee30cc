//! How a rollout begins, and what operators want of one that is under way.

use model::id::ServiceId;
use model::rollout::{Pace, Rollout, Stage, Steering};
use model::service::{Generation, Origin, Service, ServicePhase, Verdict};
use model::time::Timestamp;

use super::{back_to_stable, staying};
use crate::draft::Draft;
use crate::event::{Refusal, Reply, TrialRefusal};
use crate::plan::rollout::promoted;

/// The rollout to a generation that becomes the target.
pub(super) fn begin(service: &Service, generation: &Generation, now: Timestamp) -> Rollout {
    match &service.phase {
        // Another number of replicas is no reason to leave a canary, or a pause.
        ServicePhase::Rolling(rollout) if service.target.template == generation.template => {
            rollout.clone()
        }
        // Nor is it one to leave a canary that was halted: it is tried again where it was.
        ServicePhase::Halted { stage, .. } if service.target.template == generation.template => {
            Rollout { stage: *stage, ..Rollout::new(now) }
        }
        ServicePhase::Rolling(_)
        | ServicePhase::Steady
        | ServicePhase::Halted { .. }
        | ServicePhase::Removing => {
            Rollout { stage: first_stage(service, generation), ..Rollout::new(now) }
        }
    }
}

/// Only what is new is tried first: what was healthy before needs no trial, and without anything to go back to there is
/// nothing that a canary could save.
fn first_stage(service: &Service, generation: &Generation) -> Stage {
    let stable = service.stable.as_ref();
    let is_new = stable.is_some_and(|stable| stable.template != generation.template);
    match generation.origin {
        Origin::Deployed if is_new && generation.spec.update.trial.is_some() => Stage::Trial,
        Origin::Deployed | Origin::Scaled | Origin::Restarted | Origin::RolledBack { .. } => {
            Stage::Everywhere
        }
    }
}

pub(super) fn steer(
    draft: &mut Draft<'_>,
    id: &ServiceId,
    steering: Steering,
) -> Result<Reply, Refusal> {
    let service = staying(draft, id)?;
    if service.target.spec.mode.runs_to_end() {
        return Err(Refusal::RunsToEnd(id.clone()));
    }
    let accepted = Reply::Accepted { generation: service.target.number };
    let (now, going) = (draft.now, Pace::Going { since: draft.now });
    let rollout = match (&service.phase, steering) {
        (ServicePhase::Rolling(_) | ServicePhase::Halted { .. }, Steering::Abort) => {
            return abort(draft, &service);
        }
        (ServicePhase::Rolling(rollout), Steering::Pause) => match rollout.pace {
            Pace::Paused { .. } => rollout.clone(),
            Pace::Going { .. } => Rollout { pace: Pace::Paused { since: now }, ..rollout.clone() },
        },
        (ServicePhase::Rolling(rollout), Steering::Resume) => match rollout.pace {
            Pace::Paused { .. } => Rollout { pace: going, ..rollout.clone() },
            Pace::Going { .. } => rollout.clone(),
        },
        (ServicePhase::Rolling(rollout), Steering::Promote) => match rollout.stage {
            Stage::Trial => return Err(Refusal::Trial(id.clone(), TrialRefusal::Moves)),
            Stage::Holding { .. } => {
                let stage = promoted(&service, now);
                // What is switched to is watched on, and nothing that it did before was let pass.
                let goes_on = stage.is_switched() && !rollout.is_paused();
                let pace = if goes_on { rollout.pace } else { going };
                Rollout { stage, pace, ..rollout.clone() }
            }
            Stage::Switching { .. } => {
                return Err(Refusal::Trial(id.clone(), TrialRefusal::Switches));
            }
            Stage::Keeping { .. } => {
                Rollout { stage: Stage::Everywhere, pace: going, ..rollout.clone() }
            }
            Stage::Everywhere => return Err(Refusal::Trial(id.clone(), TrialRefusal::Nothing)),
        },
        (ServicePhase::Halted { stage, .. }, Steering::Resume) => {
            Rollout { stage: *stage, ..Rollout::new(now) }
        }
        (ServicePhase::Halted { .. } | ServicePhase::Steady | ServicePhase::Removing, _) => {
            return Err(Refusal::NoRollout(id.clone()));
        }
    };
    let phase = ServicePhase::Rolling(rollout);
    if phase != service.phase {
        draft.put_service(Service { phase, ..(*service).clone() });
    }
    Ok(accepted)
}

/// Goes back to what was healthy. Where nothing was, what is there stays and nothing more is begun.
fn abort(draft: &mut Draft<'_>, service: &Service) -> Result<Reply, Refusal> {
    if let Some(generation) = back_to_stable(draft, service, Verdict::Aborted) {
        return Ok(Reply::Accepted { generation });
    }
    let ServicePhase::Rolling(rollout) = &service.phase else {
        return Err(Refusal::NothingToRollBackTo(service.id.clone()));
    };
    let reason = "an operator broke the rollout off, and nothing earlier was healthy; deploy another spec, or resume";
    let phase = ServicePhase::Halted { reason: reason.to_owned(), stage: rollout.stage };
    draft.put_service(Service { phase, ..service.clone() });
    Ok(Reply::Accepted { generation: service.target.number })
}
