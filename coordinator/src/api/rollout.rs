//! How rollouts go, as operators are told.

use coordinator_core::cluster::Cluster;
use coordinator_core::view::{self, RolloutProgress};
use model::rollout::{Canary, Pace, Promotion, Rollout, Stage};
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
    let canary = service.target.spec.update.canary?;
    match rollout.stage {
        Stage::Canary => Some("its canary has to settle before the others follow".to_owned()),
        Stage::Holding { since } => Some(held(service, canary, (since, now))),
        Stage::Everywhere => None,
    }
}

fn held(service: &Service, canary: Canary, (since, now): (Timestamp, Timestamp)) -> String {
    let id = &service.id;
    match canary.promotion {
        Promotion::Automatic => {
            let left = (since + canary.hold).since(now).as_secs();
            format!("its canary has settled: the others follow in {left} s")
        }
        Promotion::Manual => {
            let seconds = now.since(since).as_secs();
            format!(
                "its canary has settled {seconds} s ago: `wharf rollout promote {id}` or `abort`"
            )
        }
    }
}

/// A sentence about the rollout of a service to this generation.
pub(super) fn sentence(cluster: &Cluster, service: &Service, now: Timestamp) -> Option<String> {
    let (rollout, progress) =
        (rollout_of(service)?, view::rollout_progress(cluster, service, now)?);
    let (id, number) = (&service.id, service.target.number);
    let seconds = now.since(rollout.since).as_secs();
    let RolloutProgress { admitted, settled, .. } = progress;
    Some(match rollout.stage {
        Stage::Canary | Stage::Holding { .. } => format!(
            "{id} tries generation {number} since {seconds} s: {settled} of {admitted} canary slots have settled"
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
