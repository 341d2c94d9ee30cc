//! Refreshes of pools, and how they are done.

mod root;

use std::time::Duration;

use model::refresh::{
    AtDeadline, Before, Blueprint, Freeze, Mode, Refresh, RefreshEnd, RefreshId, RefreshPhase,
    RefreshPolicy, STAGES_LIMIT, Skip, Stage,
};
use model::time::Timestamp;

use self::root::{root_from_wire, root_to_wire};
use super::checks::{line, millis, word};
use super::fleet::pool_name_from_wire;
use super::spec::{amount_from_wire, amount_to_wire};
use super::{At, Invalid, Named, Valid};
use crate::wire;

/// A group names no more launch templates (Auto Scaling's own bound).
const TEMPLATES_LIMIT: usize = 20;
/// Why something is so is a sentence or two, some of them the cloud's.
const WHY_LIMIT: usize = 4_096;

/// Reads from which versions of launch templates machines are launched.
///
/// # Errors
/// When there are too many, or an id is none.
pub fn blueprint_from_wire(from: &wire::Blueprint) -> Valid<Blueprint> {
    if from.versions.len() > TEMPLATES_LIMIT {
        let why =
            format!("names {} launch templates of {TEMPLATES_LIMIT} allowed", from.versions.len());
        return Err(Invalid::new("blueprint", why));
    }
    let version = |(id, version): (&String, &u64)| -> Valid<(String, u64)> {
        Ok((word("blueprint.template", id)?, *version))
    };
    Ok(Blueprint(from.versions.iter().map(version).collect::<Valid<_>>()?))
}

/// Writes from which versions of launch templates machines are launched.
#[must_use]
pub fn blueprint_to_wire(blueprint: &Blueprint) -> wire::Blueprint {
    wire::Blueprint { versions: blueprint.0.clone() }
}

/// Reads how machines are replaced.
///
/// # Errors
/// Says where and what is wrong.
pub fn refresh_policy_from_wire(from: Option<&wire::RefreshPolicy>) -> Valid<RefreshPolicy> {
    let from = from.at("refresh.policy")?;
    let stages = stages_from_wire(from)?;
    if stages.len() > STAGES_LIMIT {
        return Err(Invalid::new("refresh.policy.stages", format!("has more than {STAGES_LIMIT}")));
    }
    Ok(RefreshPolicy {
        surge: amount_from_wire(
            from.surge.as_ref().at("refresh.policy.surge")?,
            "refresh.policy.surge",
        )?,
        stages,
        hold: Duration::from_millis(from.hold_ms),
        drain_within: Duration::from_millis(from.drain_within_ms),
        at_deadline: match from.at_deadline() {
            wire::AtDeadline::Skip => AtDeadline::Skip,
            wire::AtDeadline::Force => AtDeadline::Force,
            wire::AtDeadline::Unspecified => return None.at("refresh.policy.at_deadline"),
        },
        urgent: from.urgent.as_deref().map(reason_from_wire).transpose()?,
        mode: match from.mode() {
            wire::RefreshMode::Unspecified | wire::RefreshMode::Replace => Mode::Replace,
            wire::RefreshMode::InPlace => Mode::InPlace,
        },
        takes_over: from.takes_over,
    })
}

/// One that would stand behind the end is the last.
fn stages_from_wire(from: &wire::RefreshPolicy) -> Valid<Vec<Stage>> {
    let amount = |stage| amount_from_wire(stage, "refresh.policy.stages").map(Stage::Machines);
    let mut stages: Vec<Stage> = from.stages.iter().map(amount).collect::<Valid<_>>()?;
    if let Some(zone) = from.zone_after {
        let at = usize::try_from(zone).unwrap_or(usize::MAX).min(stages.len());
        stages.insert(at, Stage::Zone);
    }
    Ok(stages)
}

/// Writes how machines are replaced.
#[must_use]
pub fn refresh_policy_to_wire(policy: &RefreshPolicy) -> wire::RefreshPolicy {
    let at_deadline = match policy.at_deadline {
        AtDeadline::Skip => wire::AtDeadline::Skip,
        AtDeadline::Force => wire::AtDeadline::Force,
    };
    let mode = match policy.mode {
        Mode::Replace => wire::RefreshMode::Replace,
        Mode::InPlace => wire::RefreshMode::InPlace,
    };
    let zone = policy.stages.iter().position(|stage| *stage == Stage::Zone);
    let amounts = policy.stages.iter().filter_map(|stage| match stage {
        Stage::Machines(amount) => Some(amount_to_wire(*amount)),
        Stage::Zone => None,
    });
    wire::RefreshPolicy {
        surge: Some(amount_to_wire(policy.surge)),
        stages: amounts.collect(),
        zone_after: zone.and_then(|zone| u32::try_from(zone).ok()),
        hold_ms: millis(policy.hold),
        drain_within_ms: millis(policy.drain_within),
        at_deadline: at_deadline.into(),
        urgent: policy.urgent.clone(),
        mode: mode.into(),
        takes_over: policy.takes_over,
    }
}

/// Reads why something is done in spite of what is in its way.
///
/// # Errors
/// When it says nothing, is too long, or is more than a line.
pub fn reason_from_wire(from: &str) -> Valid<String> {
    const PATH: &str = "reason";
    if from.trim().is_empty() {
        return Err(Invalid::new(PATH, "does not say why"));
    }
    why(PATH, from)
}

/// Reads which refresh.
///
/// # Errors
/// When the name of the pool is none.
pub fn refresh_id_from_wire(pool: &str, number: u64) -> Valid<RefreshId> {
    Ok(RefreshId { pool: pool_name_from_wire(pool)?, number })
}

/// Reads a refresh.
///
/// # Errors
/// Says where and what is wrong.
pub fn refresh_from_wire(from: &wire::Refresh) -> Valid<Refresh> {
    let skip = |skip: &wire::SkippedMachine| -> Valid<_> {
        let why = why("refresh.skipped.why", &skip.why)?;
        Ok((skip.instance.named("refresh.skipped.instance")?, Skip { why, tries: skip.tries }))
    };
    Ok(Refresh {
        id: refresh_id_from_wire(&from.pool, from.number)?,
        since: Timestamp::from_millis(from.since_ms),
        from: blueprint_from_wire(from.from.as_ref().at("refresh.from")?)?,
        to: blueprint_from_wire(from.to.as_ref().at("refresh.to")?)?,
        policy: refresh_policy_from_wire(from.policy.as_ref())?,
        size: from.size,
        before: Before { rebalanced: from.rebalanced, heals: from.heals, max: from.max },
        after: from
            .after
            .iter()
            .map(|one| refresh_id_from_wire(&one.pool, one.number))
            .collect::<Valid<_>>()?,
        phase: phase_from_wire(from.phase.as_ref())?,
        paused_at: from.paused_at_ms.map(Timestamp::from_millis),
        skipped: from.skipped.iter().map(skip).collect::<Valid<_>>()?,
        failed: from.failed.iter().map(|id| id.named("refresh.failed")).collect::<Valid<_>>()?,
        ending: from.ending.iter().map(|id| id.named("refresh.ending")).collect::<Valid<_>>()?,
        roots: from.roots.iter().map(root_from_wire).collect::<Valid<_>>()?,
    })
}

/// Writes a refresh.
#[must_use]
pub fn refresh_to_wire(refresh: &Refresh) -> wire::Refresh {
    let skipped = refresh.skipped.iter().map(|(id, skip)| wire::SkippedMachine {
        instance: id.to_string(),
        why: skip.why.clone(),
        tries: skip.tries,
    });
    wire::Refresh {
        pool: refresh.id.pool.clone(),
        number: refresh.id.number,
        since_ms: refresh.since.as_millis(),
        from: Some(blueprint_to_wire(&refresh.from)),
        to: Some(blueprint_to_wire(&refresh.to)),
        policy: Some(refresh_policy_to_wire(&refresh.policy)),
        size: refresh.size,
        rebalanced: refresh.before.rebalanced,
        heals: refresh.before.heals,
        max: refresh.before.max,
        paused_at_ms: refresh.paused_at.map(Timestamp::as_millis),
        skipped: skipped.collect(),
        failed: refresh.failed.iter().map(ToString::to_string).collect(),
        ending: refresh.ending.iter().map(ToString::to_string).collect(),
        roots: refresh.roots.iter().map(|(id, root)| root_to_wire(id, root)).collect(),
        after: refresh
            .after
            .iter()
            .map(|id| wire::RefreshName { pool: id.pool.clone(), number: id.number })
            .collect(),
        phase: Some(phase_to_wire(&refresh.phase)),
    }
}

/// Reads why, since when and until when no machines are replaced.
///
/// # Errors
/// When it is not said why, in one line.
pub fn freeze_from_wire(from: &wire::Freeze) -> Valid<Freeze> {
    Ok(Freeze {
        why: reason_from_wire(&from.why)?,
        since: Timestamp::from_millis(from.since_ms),
        until: from.until_ms.map(Timestamp::from_millis),
    })
}

/// Writes why, since when and until when no machines are replaced.
#[must_use]
pub fn freeze_to_wire(freeze: &Freeze) -> wire::Freeze {
    wire::Freeze {
        why: freeze.why.clone(),
        since_ms: freeze.since.as_millis(),
        until_ms: freeze.until.map(Timestamp::as_millis),
    }
}

fn why(path: &str, from: &str) -> Valid<String> {
    if from.len() > WHY_LIMIT {
        let why = format!("has {} bytes of {WHY_LIMIT} allowed", from.len());
        return Err(Invalid::new(path, why));
    }
    line(path, from)
}

fn phase_from_wire(from: Option<&wire::refresh::Phase>) -> Valid<RefreshPhase> {
    use wire::refresh::Phase as Wire;
    Ok(match from.at("refresh.phase")? {
        Wire::Making(making) => RefreshPhase::Making { ami: word("refresh.ami", &making.ami)? },
        Wire::Rolling(rolling) => RefreshPhase::Rolling {
            stage: rolling.stage as usize,
            watched_since: rolling.watched_since_ms.map(Timestamp::from_millis),
        },
        Wire::RollingBack(reason) => RefreshPhase::RollingBack { why: why("refresh.why", reason)? },
        Wire::Restoring(restoring) => RefreshPhase::Restoring {
            end: end_from_wire(restoring.end.as_ref().at("refresh.end")?)?,
            since: Timestamp::from_millis(restoring.since_ms),
        },
        Wire::Done(done) => RefreshPhase::Done {
            end: end_from_wire(done.end.as_ref().at("refresh.end")?)?,
            at: Timestamp::from_millis(done.at_ms),
        },
    })
}

fn phase_to_wire(phase: &RefreshPhase) -> wire::refresh::Phase {
    use wire::refresh::Phase as Wire;
    match phase {
        RefreshPhase::Making { ami } => Wire::Making(wire::RefreshMaking { ami: ami.clone() }),
        RefreshPhase::Rolling { stage, watched_since } => Wire::Rolling(wire::RefreshRolling {
            stage: u32::try_from(*stage).unwrap_or(u32::MAX),
            watched_since_ms: watched_since.map(Timestamp::as_millis),
        }),
        RefreshPhase::RollingBack { why } => Wire::RollingBack(why.clone()),
        RefreshPhase::Restoring { end, since } => {
            let end = Some(end_to_wire(end));
            Wire::Restoring(wire::RefreshRestoring { end, since_ms: since.as_millis() })
        }
        RefreshPhase::Done { end, at } => {
            let end = Some(end_to_wire(end));
            Wire::Done(wire::RefreshDone { end, at_ms: at.as_millis() })
        }
    }
}

fn end_from_wire(from: &wire::RefreshEnd) -> Valid<RefreshEnd> {
    use wire::refresh_end::Kind as Wire;
    Ok(match from.kind.as_ref().at("refresh.end")? {
        Wire::Refreshed(_) => RefreshEnd::Refreshed,
        Wire::RolledBack(reason) => RefreshEnd::RolledBack { why: why("refresh.end", reason)? },
        Wire::Aborted(reason) => RefreshEnd::Aborted { why: why("refresh.end", reason)? },
    })
}

fn end_to_wire(end: &RefreshEnd) -> wire::RefreshEnd {
    use wire::refresh_end::Kind as Wire;
    let kind = match end {
        RefreshEnd::Refreshed => Wire::Refreshed(wire::Done {}),
        RefreshEnd::RolledBack { why } => Wire::RolledBack(why.clone()),
        RefreshEnd::Aborted { why } => Wire::Aborted(why.clone()),
    };
    wire::RefreshEnd { kind: Some(kind) }
}
