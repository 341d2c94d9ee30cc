//! What changes about bakes and images mean.

use model::bake::{AmiState, Bake, BakePhase};

use super::{Occurrence, Subject};
use crate::cluster::{Change, Cluster};

/// Says what a change about bakes and images will mean.
pub(super) fn narrate(before: &Cluster, change: &Change) -> Option<Occurrence> {
    match change {
        Change::PutBake(bake) => {
            let known = before.bakes().get(&bake.id);
            let message = news(known.map(AsRef::as_ref), bake)?;
            Some(Occurrence { subject: Subject::Bake(bake.id.clone()), message })
        }
        Change::PutAmi(ami) => {
            let message = match &ami.state {
                AmiState::Quarantined => return None,
                AmiState::Published { .. } if ami.pools.is_empty() => "is published".to_owned(),
                AmiState::Published { .. } => format!("is published for {}", ami.pools.join(", ")),
                AmiState::Retired { .. } => "is retired, and being removed".to_owned(),
            };
            Some(Occurrence { subject: Subject::Ami(ami.id.clone()), message })
        }
        Change::RemoveAmi(id) => {
            let message = "is removed".to_owned();
            Some(Occurrence { subject: Subject::Ami(id.clone()), message })
        }
        Change::RemoveBake(_)
        | Change::PutService(_)
        | Change::RemoveService(_)
        | Change::PutTask(_)
        | Change::RemoveTask(_)
        | Change::PutNode(_)
        | Change::RemoveNode(_)
        | Change::PutPool(_)
        | Change::RemovePool(_)
        | Change::PutHook(_)
        | Change::RemoveHook(_)
        | Change::PutRefresh(_)
        | Change::RemoveRefresh(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::PutSecret(_)
        | Change::RemoveSecret(_)
        | Change::PutNextTask(_) => None,
    }
}

fn news(before: Option<&Bake>, bake: &Bake) -> Option<String> {
    if before.is_some_and(|before| before.phase == bake.phase) {
        return None;
    }
    if bake.phase.is_under_way() {
        return Some(format!("is {}", bake.doing()));
    }
    if let BakePhase::Kept { why, until, .. } = &bake.phase {
        return Some(format!("has failed while {}: {why}; it is kept until {until}", bake.doing()));
    }
    if let BakePhase::Clearing { end, .. } = &bake.phase {
        return Some(format!("{end}; its machines are taken away"));
    }
    let over = "is over: nothing of it is left in the cloud but its image";
    bake.phase.is_over().then(|| over.to_owned())
}
