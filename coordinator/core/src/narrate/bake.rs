//! What changes about bakes and images mean.

use model::bake::{Ami, AmiState, Bake, BakePhase, Cause};

use super::{Occurrence, Subject};
use crate::cluster::Cluster;

/// Says what it means that a bake is as it is now.
pub(super) fn narrate(before: &Cluster, bake: &Bake) -> Option<Occurrence> {
    let known = before.bakes().get(&bake.id);
    let message = news(known.map(AsRef::as_ref), bake)?;
    Some(Occurrence { subject: Subject::Bake(bake.id.clone()), message })
}

/// The same of an image.
pub(super) fn narrate_ami(ami: &Ami) -> Option<Occurrence> {
    let message = match &ami.state {
        AmiState::Quarantined => return None,
        AmiState::Published { .. } if ami.pools.is_empty() => "is published".to_owned(),
        AmiState::Published { .. } => format!("is published for {}", ami.pools.join(", ")),
        AmiState::Retired { .. } => "is retired, and being removed".to_owned(),
    };
    Some(Occurrence { subject: Subject::Ami(ami.id.clone()), message })
}

fn news(before: Option<&Bake>, bake: &Bake) -> Option<String> {
    if before.is_some_and(|before| before.phase == bake.phase) {
        return None;
    }
    if before.is_none() && bake.cause != Cause::Asked {
        return Some(format!("begins by itself: {}", bake.cause));
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
