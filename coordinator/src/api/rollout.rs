//! How rollouts go, as operators are told.

use coordinator_core::cluster::Cluster;
use coordinator_core::view::{self, RolloutProgress};
use model::rollout::{Pace, Promotion, Rollout, Stage, Trial};
use model::service::{Service, ServicePhase};
use model::time::Timestamp;
use proto::wire;

use super::views::count;

/// How far the rollout of a service has come, if there is one.
pub(super) fn view(
    cluster: &Cluster,
    service: &Service,
    now: Timestamp,
) -> Option<wire::RolloutView> {
    let progress = view::rollout_progress(cluster, service, now)?;
    let RolloutProgress { admitted, settled, is_held } = progress;
    Some(wire::RolloutView { admitted: count(admitted), settled: count(settled), held: is_held })
}

/// What a rollout waits for beside its tasks, if anything.
pub(super) fn note(service: &Service, now: Timestamp) -> Option<String> {
    let rollout = rollout_of(service)?;
    let id = &service.id;
    if let Pace::Paused { since } = rollout.pace {
        let seconds = now.since(since).as_secs();
        return Some(format!(
            "is paused since {seconds} s: `wharf rollout resume {id}` or `abort`"
        ));
    }
    let trial = service.target.spec.update.trial?;
    let (what, has, then) = match trial {
        Trial::Canary(_) => ("its canary", "has", "the others follow"),
        Trial::BlueGreen(_) => ("all of its new tasks", "have", "it is switched to them"),
    };
    match (rollout.stage, trial) {
        (Stage::Trial, _) => Some(format!("{what} {has} to settle before {then}")),
        (Stage::Holding { since }, _) => Some(match trial.promotion() {
            Promotion::Automatic => {
                let left = (since + trial.hold()).since(now).as_secs();
                format!("{what} {has} settled: {then} in {left} s")
            }
            Promotion::Manual => {
                let seconds = now.since(since).as_secs();
                format!(
                    "{what} {has} settled {seconds} s ago: `wharf rollout promote {id}` or `abort`"
                )
            }
        }),
        (Stage::Switching { .. }, _) => Some(
            "its load balancers are told of the new tasks, and the old ones leave them after that"
                .to_owned(),
        ),
        (Stage::Keeping { since }, Trial::BlueGreen(both)) => {
            let left = (since + both.keep).since(now).as_secs();
            Some(format!(
                "the new tasks have all requests, and the old ones are kept for {left} s more: `wharf rollout abort {id}` goes back to them, `promote` stops them"
            ))
        }
        (Stage::Keeping { .. }, Trial::Canary(_)) | (Stage::Everywhere, _) => None,
    }
}

/// A sentence about the rollout of a service to this generation.
pub(super) fn sentence(cluster: &Cluster, service: &Service, now: Timestamp) -> Option<String> {
    let (rollout, progress) =
        (rollout_of(service)?, view::rollout_progress(cluster, service, now)?);
    let (id, number) = (&service.id, service.target.number);
    let seconds = now.since(rollout.since).as_secs();
    let RolloutProgress { admitted, settled, .. } = progress;
    let is_canary = matches!(service.target.spec.update.trial, Some(Trial::Canary(_)));
    let slots = if is_canary { "canary slots" } else { "slots" };
    Some(match rollout.stage {
        Stage::Trial | Stage::Holding { .. } => format!(
            "{id} tries generation {number} since {seconds} s: {settled} of {admitted} {slots} have settled"
        ),
        Stage::Switching { .. } => format!(
            "{id} is switched to generation {number}: {settled} of {admitted} slots have requests"
        ),
        Stage::Keeping { .. } => format!(
            "{id} is switched to generation {number}, and keeps what was before it: {settled} of {admitted} slots have settled"
        ),
        Stage::Everywhere => format!(
            "{id} is moving to generation {number} since {seconds} s: {settled} of {admitted} slots are there"
        ),
    })
}

const fn rollout_of(service: &Service) -> Option<&Rollout> {
    match &service.phase {
        ServicePhase::Rolling(rollout) => Some(rollout),
        ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => None,
    }
}
