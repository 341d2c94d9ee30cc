//! How services move from one generation to the next, and how far they are.

use model::rollout::{
    BlueGreen, Canary, Pace, Promotion, Rollout, Stage, Steering, Tolerance, Trial,
};
use model::time::Timestamp;

use crate::convert::checks::{duration, millis};
use crate::convert::spec::{amount_from_wire, amount_to_wire};
use crate::convert::{At, Invalid, Valid};
use crate::wire;
use crate::wire::update_policy::Trial as WireTrial;

pub(crate) fn tolerance_from_wire(from: Option<wire::Tolerance>) -> Valid<Tolerance> {
    let Some(wire::Tolerance { at_least, at_most }) = from else { return Ok(Tolerance::default()) };
    if let Some(most) = at_most.filter(|most| *most < at_least) {
        let why = format!("at least {at_least} failures are borne and at most {most}");
        return Err(Invalid::new("update.tolerance", why));
    }
    Ok(Tolerance { at_least, at_most })
}

pub(crate) fn tolerance_to_wire(tolerance: Tolerance) -> Option<wire::Tolerance> {
    let Tolerance { at_least, at_most } = tolerance;
    (tolerance != Tolerance::default()).then_some(wire::Tolerance { at_least, at_most })
}

pub(crate) fn trial_from_wire(from: &WireTrial) -> Valid<Trial> {
    Ok(match from {
        WireTrial::Canary(canary) => {
            let field = "update.canary.slots";
            let slots = amount_from_wire(canary.slots.as_ref().at(field)?, field)?;
            let hold = duration("update.canary.hold", canary.hold_ms)?;
            let promotion = promotion(canary.promotion()).at("update.canary.promotion")?;
            Trial::Canary(Canary { slots, hold, promotion })
        }
        WireTrial::BlueGreen(both) => Trial::BlueGreen(BlueGreen {
            hold: duration("update.blue_green.hold", both.hold_ms)?,
            promotion: promotion(both.promotion()).at("update.blue_green.promotion")?,
            keep: duration("update.blue_green.keep", both.keep_ms)?,
        }),
    })
}

const fn promotion(from: wire::Promotion) -> Option<Promotion> {
    match from {
        wire::Promotion::Automatic => Some(Promotion::Automatic),
        wire::Promotion::Manual => Some(Promotion::Manual),
        wire::Promotion::Unspecified => None,
    }
}

pub(crate) fn trial_to_wire(trial: &Trial) -> WireTrial {
    let promotion = match trial.promotion() {
        Promotion::Automatic => wire::Promotion::Automatic,
        Promotion::Manual => wire::Promotion::Manual,
    };
    let hold_ms = millis(trial.hold());
    match trial {
        Trial::Canary(canary) => WireTrial::Canary(wire::Canary {
            slots: Some(amount_to_wire(canary.slots)),
            hold_ms,
            promotion: promotion.into(),
        }),
        Trial::BlueGreen(both) => WireTrial::BlueGreen(wire::BlueGreen {
            hold_ms,
            promotion: promotion.into(),
            keep_ms: millis(both.keep),
        }),
    }
}

/// A service that was halted stands where its rollout did.
pub(crate) fn halted_stage_from_wire(from: Option<&wire::halted::Stage>) -> Stage {
    use wire::halted::Stage as WireStage;
    let at = |since: &u64| Timestamp::from_millis(*since);
    match from {
        Some(WireStage::Canary(_)) => Stage::Trial,
        Some(WireStage::HoldingSinceMs(since)) => Stage::Holding { since: at(since) },
        Some(WireStage::SwitchingSinceMs(since)) => Stage::Switching { since: at(since) },
        Some(WireStage::KeepingSinceMs(since)) => Stage::Keeping { since: at(since) },
        None => Stage::Everywhere,
    }
}

pub(crate) const fn halted_stage_to_wire(stage: Stage) -> Option<wire::halted::Stage> {
    use wire::halted::Stage as WireStage;
    match stage {
        Stage::Trial => Some(WireStage::Canary(wire::CanaryStage {})),
        Stage::Holding { since } => Some(WireStage::HoldingSinceMs(since.as_millis())),
        Stage::Switching { since } => Some(WireStage::SwitchingSinceMs(since.as_millis())),
        Stage::Keeping { since } => Some(WireStage::KeepingSinceMs(since.as_millis())),
        Stage::Everywhere => None,
    }
}

pub(crate) fn rollout_from_wire(from: &wire::Rolling) -> Rollout {
    use wire::rolling::{Pace as WirePace, Stage as WireStage};
    let since = Timestamp::from_millis(from.since_ms);
    let at = |since: &u64| Timestamp::from_millis(*since);
    let stage = match &from.stage {
        Some(WireStage::Canary(_)) => Stage::Trial,
        Some(WireStage::HoldingSinceMs(since)) => Stage::Holding { since: at(since) },
        Some(WireStage::SwitchingSinceMs(since)) => Stage::Switching { since: at(since) },
        Some(WireStage::KeepingSinceMs(since)) => Stage::Keeping { since: at(since) },
        None => Stage::Everywhere,
    };
    let pace = match from.pace {
        Some(WirePace::GoingSinceMs(since)) => Pace::Going { since: Timestamp::from_millis(since) },
        Some(WirePace::PausedSinceMs(since)) => {
            Pace::Paused { since: Timestamp::from_millis(since) }
        }
        None => Pace::Going { since },
    };
    Rollout { since, stage, pace }
}

pub(crate) fn rollout_to_wire(rollout: &Rollout) -> wire::Rolling {
    use wire::rolling::{Pace as WirePace, Stage as WireStage};
    let stage = match rollout.stage {
        Stage::Trial => Some(WireStage::Canary(wire::CanaryStage {})),
        Stage::Holding { since } => Some(WireStage::HoldingSinceMs(since.as_millis())),
        Stage::Switching { since } => Some(WireStage::SwitchingSinceMs(since.as_millis())),
        Stage::Keeping { since } => Some(WireStage::KeepingSinceMs(since.as_millis())),
        Stage::Everywhere => None,
    };
    let pace = match rollout.pace {
        Pace::Going { since } if since == rollout.since => None,
        Pace::Going { since } => Some(WirePace::GoingSinceMs(since.as_millis())),
        Pace::Paused { since } => Some(WirePace::PausedSinceMs(since.as_millis())),
    };
    wire::Rolling { since_ms: rollout.since.as_millis(), stage, pace }
}

/// Reads what an operator wants of a rollout.
///
/// # Errors
/// When nothing is wanted that this version knows.
pub fn steering_from_wire(from: wire::Steering) -> Valid<Steering> {
    match from {
        wire::Steering::Pause => Ok(Steering::Pause),
        wire::Steering::Resume => Ok(Steering::Resume),
        wire::Steering::Promote => Ok(Steering::Promote),
        wire::Steering::Abort => Ok(Steering::Abort),
        wire::Steering::Unspecified => None.at("steering"),
    }
}

/// Writes what an operator wants of a rollout.
#[must_use]
pub const fn steering_to_wire(steering: Steering) -> wire::Steering {
    match steering {
        Steering::Pause => wire::Steering::Pause,
        Steering::Resume => wire::Steering::Resume,
        Steering::Promote => wire::Steering::Promote,
        Steering::Abort => wire::Steering::Abort,
    }
}
