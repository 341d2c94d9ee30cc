//! Pools, and what is known of their machines.

use std::time::Duration;

use model::fleet::{
    Answer, Asked, Group, GroupHook, HEADROOM_LIMIT, Headroom, Hook, HookCall, HookId, HookPhase,
    Instance, Lifecycle, Notice, Pool, PoolPolicy, Power, SHRINK_USUALLY, Survey, Transition,
    UNREACHABLE_USUALLY,
};
use model::id::NodeId;
use model::resources::Resources;
use model::schedule::{WINDOWS_LIMIT, Window, WindowError};
use model::time::Timestamp;

use super::checks::{line, word};
use super::outlook::{precaution_from_wire, precaution_to_wire};
use super::policy::{profile_from_wire, profile_to_wire};
use super::refresh::{blueprint_from_wire, blueprint_to_wire};
use super::spec::{resources_from_wire, resources_to_wire};
use super::unreachable::{
    condemned_from_wire, condemned_in_from_wire, condemned_in_to_wire, condemned_to_wire,
    unreachable_from_wire, unreachable_to_wire,
};
use super::{At, Invalid, Named, Valid};
use crate::wire;

/// The name of an Auto Scaling group has no more bytes.
const NAME_LIMIT: usize = 255;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn name(path: &str, from: &str) -> Valid<String> {
    if from.len() > NAME_LIMIT {
        let why = format!("has {} bytes of {NAME_LIMIT} allowed", from.len());
        return Err(Invalid::new(path, why));
    }
    line(path, from)?;
    word(path, from)
}

/// Reads the name of a pool, as it has to be to be stored.
///
/// # Errors
/// When it is empty, too long, or does not show as what it is.
pub fn pool_name_from_wire(from: &str) -> Valid<String> {
    name("pool.name", from)
}

/// Reads a pool.
///
/// # Errors
/// Says where and what is wrong.
pub fn pool_from_wire(from: &wire::Pool) -> Valid<Pool> {
    Ok(Pool {
        name: name("pool.name", &from.name)?,
        since: Timestamp::from_millis(from.since_ms),
        policy: pool_policy_from_wire(from.policy.as_ref())?,
        ending: from
            .ending
            .iter()
            .map(|id| id.parse::<NodeId>().ok().at("pool.ending"))
            .collect::<Valid<_>>()?,
        asked: from.asked.as_ref().map(asked_from_wire),
        windows: windows_from_wire(&from.windows)?,
        roots: from.roots.iter().map(root_from_wire).collect::<Valid<_>>()?,
        condemned: condemned_from_wire(&from.condemned)?,
        condemned_in: condemned_in_from_wire(&from.condemned_in)?,
    })
}

fn root_from_wire(from: &wire::PoolRoot) -> Valid<(NodeId, (String, u64))> {
    let version = (word("pool.root.template", &from.template)?, from.version);
    Ok((from.instance.parse::<NodeId>().ok().at("pool.root.instance")?, version))
}

/// Writes a pool.
#[must_use]
pub fn pool_to_wire(pool: &Pool) -> wire::Pool {
    let roots = pool.roots.iter().map(|(id, (template, version))| wire::PoolRoot {
        instance: id.to_string(),
        template: template.clone(),
        version: *version,
    });
    wire::Pool {
        name: pool.name.clone(),
        since_ms: pool.since.as_millis(),
        policy: Some(pool_policy_to_wire(pool.policy)),
        ending: pool.ending.iter().map(ToString::to_string).collect(),
        asked: pool.asked.as_ref().map(asked_to_wire),
        windows: windows_to_wire(&pool.windows),
        roots: roots.collect(),
        condemned: condemned_to_wire(&pool.condemned),
        condemned_in: condemned_in_to_wire(&pool.condemned_in),
    }
}

/// Reads when machines may be replaced.
///
/// # Errors
/// When there are too many, or one is none.
pub fn windows_from_wire(from: &[String]) -> Valid<Vec<Window>> {
    const PATH: &str = "pool.windows";
    if from.len() > WINDOWS_LIMIT {
        let why = format!("has {} windows of {WINDOWS_LIMIT} allowed", from.len());
        return Err(Invalid::new(PATH, why));
    }
    let window = |text: &String| {
        let wrong = |error: WindowError| Invalid::new(PATH, error.to_string());
        line(PATH, text)?.parse().map_err(wrong)
    };
    from.iter().map(window).collect()
}

/// Writes when machines may be replaced.
#[must_use]
pub fn windows_to_wire(windows: &[Window]) -> Vec<String> {
    windows.iter().map(ToString::to_string).collect()
}

fn asked_from_wire(from: &wire::PoolAsked) -> Asked {
    let (at, why) = (Timestamp::from_millis(from.at_ms), from.why.clone());
    Asked { at, from: from.from, to: from.to, why }
}

fn asked_to_wire(asked: &Asked) -> wire::PoolAsked {
    let (at_ms, why) = (asked.at.as_millis(), asked.why.clone());
    wire::PoolAsked { at_ms, from: asked.from, to: asked.to, why }
}

/// Reads what is to stay free in a pool.
///
/// # Errors
/// When it is more than anybody has, or room for tasks that ask for nothing.
pub fn headroom_from_wire(from: Option<&wire::Headroom>) -> Valid<Headroom> {
    const PATH: &str = "pool.headroom";
    let Some(from) = from else { return Ok(Headroom::default()) };
    let each = resources_from_wire(PATH, from.each.as_ref())?;
    if from.count > HEADROOM_LIMIT {
        let why =
            format!("room for {} tasks is more than the {HEADROOM_LIMIT} allowed", from.count);
        return Err(Invalid::new(PATH, why));
    }
    if from.count > 0 && each == Resources::default() {
        return Err(Invalid::new(PATH, "tasks that ask for nothing need no room".to_owned()));
    }
    Ok(Headroom { count: from.count, each })
}

fn headroom_to_wire(headroom: &Headroom) -> wire::Headroom {
    wire::Headroom { count: headroom.count, each: Some(resources_to_wire(&headroom.each)) }
}

/// Reads how the machines of a pool come and go.
///
/// # Errors
/// When it is absent.
pub fn pool_policy_from_wire(from: Option<&wire::PoolPolicy>) -> Valid<PoolPolicy> {
    let from = from.at("pool.policy")?;
    Ok(PoolPolicy {
        drain_within: Duration::from_millis(from.drain_within_ms),
        join_within: Duration::from_millis(from.join_within_ms),
        grows: from.grows,
        shrinks: from.shrinks,
        least: from.least,
        most: from.most,
        headroom: headroom_from_wire(from.headroom.as_ref())?,
        shrink_after: from.shrink_after_ms.map_or(SHRINK_USUALLY, Duration::from_millis),
        profile: profile_from_wire("pool.profile", from.profile)?,
        precaution: precaution_from_wire("pool.precaution", from.precaution)?,
        unreachable: unreachable_from_wire("pool.unreachable", from.unreachable)?,
        unreachable_after: from
            .unreachable_after_ms
            .map_or(UNREACHABLE_USUALLY, Duration::from_millis),
    })
}

/// Writes how the machines of a pool come and go.
#[must_use]
pub fn pool_policy_to_wire(policy: PoolPolicy) -> wire::PoolPolicy {
    wire::PoolPolicy {
        drain_within_ms: millis(policy.drain_within),
        join_within_ms: millis(policy.join_within),
        grows: policy.grows,
        shrinks: policy.shrinks,
        least: policy.least,
        most: policy.most,
        headroom: Some(headroom_to_wire(&policy.headroom)),
        shrink_after_ms: Some(millis(policy.shrink_after)),
        profile: profile_to_wire(policy.profile),
        precaution: precaution_to_wire(policy.precaution),
        unreachable: unreachable_to_wire(policy.unreachable),
        unreachable_after_ms: (policy.unreachable_after != UNREACHABLE_USUALLY)
            .then(|| millis(policy.unreachable_after)),
    }
}

/// Reads when a hook is called.
///
/// # Errors
/// When it does not say.
pub fn transition_from_wire(from: wire::Transition) -> Valid<Transition> {
    match from {
        wire::Transition::Launching => Ok(Transition::Launching),
        wire::Transition::Terminating => Ok(Transition::Terminating),
        wire::Transition::Unspecified => None.at("hook.transition"),
    }
}

/// Writes when a hook is called.
#[must_use]
pub const fn transition_to_wire(transition: Transition) -> wire::Transition {
    match transition {
        Transition::Launching => wire::Transition::Launching,
        Transition::Terminating => wire::Transition::Terminating,
    }
}

fn answer_from_wire(from: wire::Answer) -> Valid<Answer> {
    match from {
        wire::Answer::Continue => Ok(Answer::Continue),
        wire::Answer::Abandon => Ok(Answer::Abandon),
        wire::Answer::Unspecified => None.at("hook.answer"),
    }
}

const fn answer_to_wire(answer: Answer) -> wire::Answer {
    match answer {
        Answer::Continue => wire::Answer::Continue,
        Answer::Abandon => wire::Answer::Abandon,
    }
}

/// Reads which action of which hook.
///
/// # Errors
/// Says where and what is wrong.
pub fn hook_id_from_wire(instance: &str, transition: wire::Transition) -> Valid<HookId> {
    Ok(HookId {
        instance: instance.named("hook.instance")?,
        transition: transition_from_wire(transition)?,
    })
}

/// Reads a lifecycle action.
///
/// # Errors
/// Says where and what is wrong.
pub fn hook_from_wire(from: &wire::Hook) -> Valid<Hook> {
    let phase = match from.phase.as_ref().at("hook.phase")? {
        wire::hook::Phase::Waiting(_) => HookPhase::Waiting,
        wire::hook::Phase::Answered(answered) => HookPhase::Answered {
            answer: answer_from_wire(answered.answer())?,
            why: line("hook.why", &answered.why)?,
            at: Timestamp::from_millis(answered.at_ms),
        },
        wire::hook::Phase::Done(done) => HookPhase::Done {
            at: Timestamp::from_millis(done.at_ms),
            answer: done.answer.map(|_| answer_from_wire(done.answer())).transpose()?,
        },
    };
    Ok(Hook {
        id: hook_id_from_wire(&from.instance, from.transition())?,
        pool: name("hook.pool", &from.pool)?,
        token: token(from.token.as_ref())?,
        since: Timestamp::from_millis(from.since_ms),
        deadline: Timestamp::from_millis(from.deadline_ms),
        phase,
    })
}

fn token(from: Option<&String>) -> Valid<Option<String>> {
    from.map(|token| name("hook.token", token)).transpose()
}

/// Writes a lifecycle action.
#[must_use]
pub fn hook_to_wire(hook: &Hook) -> wire::Hook {
    let phase = match &hook.phase {
        HookPhase::Waiting => wire::hook::Phase::Waiting(wire::HookWaiting {}),
        HookPhase::Answered { answer, why, at } => {
            let (answer, why) = (answer_to_wire(*answer).into(), why.clone());
            wire::hook::Phase::Answered(wire::HookAnswered { answer, why, at_ms: at.as_millis() })
        }
        HookPhase::Done { at, answer } => wire::hook::Phase::Done(wire::HookDone {
            at_ms: at.as_millis(),
            answer: answer.map(|answer| answer_to_wire(answer).into()),
        }),
    };
    wire::Hook {
        instance: hook.id.instance.to_string(),
        transition: transition_to_wire(hook.id.transition).into(),
        pool: hook.pool.clone(),
        token: hook.token.clone(),
        since_ms: hook.since.as_millis(),
        deadline_ms: hook.deadline.as_millis(),
        phase: Some(phase),
    }
}

/// Reads that a group waits.
///
/// # Errors
/// Says where and what is wrong.
pub fn hook_call_from_wire(from: &wire::HookCall) -> Valid<HookCall> {
    Ok(HookCall {
        id: hook_id_from_wire(&from.instance, from.transition())?,
        pool: name("hook.pool", &from.pool)?,
        token: token(from.token.as_ref())?,
    })
}

/// Writes that a group waits.
#[must_use]
pub fn hook_call_to_wire(call: &HookCall) -> wire::HookCall {
    wire::HookCall {
        instance: call.id.instance.to_string(),
        transition: transition_to_wire(call.id.transition).into(),
        pool: call.pool.clone(),
        token: call.token.clone(),
    }
}

/// Reads what a machine has to expect.
///
/// # Errors
/// When it does not say.
pub fn notice_from_wire(from: Option<&wire::Notice>) -> Valid<Notice> {
    match from.and_then(|from| from.kind.as_ref()).at("notice")? {
        wire::notice::Kind::InterruptedAtMs(at) => {
            Ok(Notice::Interrupted { at: Timestamp::from_millis(*at) })
        }
        wire::notice::Kind::AtRisk(_) => Ok(Notice::AtRisk),
    }
}

/// Writes what a machine has to expect.
#[must_use]
pub fn notice_to_wire(notice: Notice) -> wire::Notice {
    let kind = match notice {
        Notice::Interrupted { at } => wire::notice::Kind::InterruptedAtMs(at.as_millis()),
        Notice::AtRisk => wire::notice::Kind::AtRisk(wire::AtRisk {}),
    };
    wire::Notice { kind: Some(kind) }
}

/// Reads what a look at the cloud has shown.
///
/// # Errors
/// Says where and what is wrong.
pub fn survey_from_wire(from: &wire::Survey) -> Valid<Survey> {
    Ok(Survey {
        groups: from.groups.iter().map(group_from_wire).collect::<Valid<_>>()?,
        missing: from.missing.iter().cloned().collect(),
        instances: from.instances.iter().map(instance_from_wire).collect::<Valid<_>>()?,
        unknown: from.unknown.iter().map(|id| id.named("unknown")).collect::<Valid<_>>()?,
        images: from
            .images
            .iter()
            .map(|one| ((one.template.clone(), one.version), one.ami.clone()))
            .collect(),
    })
}

/// Writes what a look at the cloud has shown.
#[must_use]
pub fn survey_to_wire(survey: &Survey) -> wire::Survey {
    wire::Survey {
        groups: survey.groups.iter().map(group_to_wire).collect(),
        missing: survey.missing.iter().cloned().collect(),
        instances: survey.instances.iter().map(instance_to_wire).collect(),
        unknown: survey.unknown.iter().map(ToString::to_string).collect(),
        images: survey
            .images
            .iter()
            .map(|((template, version), ami)| wire::VersionImage {
                template: template.clone(),
                version: *version,
                ami: ami.clone(),
            })
            .collect(),
    }
}

fn group_from_wire(from: &wire::Group) -> Valid<Group> {
    let hook = |hook: &wire::GroupHook| -> Valid<GroupHook> {
        Ok(GroupHook {
            name: hook.name.clone(),
            transition: transition_from_wire(hook.transition())?,
            patience: Duration::from_millis(hook.patience_ms),
            otherwise: answer_from_wire(hook.otherwise())?,
        })
    };
    Ok(Group {
        name: name("group.name", &from.name)?,
        min: from.min,
        max: from.max,
        desired: from.desired,
        zones: from.zones.clone(),
        suspended: from.suspended.iter().cloned().collect(),
        template: from.template.clone(),
        blueprint: from.blueprint.as_ref().map(blueprint_from_wire).transpose()?,
        foreign: from.foreign.clone(),
        has_warm_pool: from.warm_pool,
        failure: from.failure.clone(),
        hooks: from.hooks.iter().map(hook).collect::<Valid<_>>()?,
    })
}

/// Writes a group.
#[must_use]
pub fn group_to_wire(group: &Group) -> wire::Group {
    let hook = |hook: &GroupHook| wire::GroupHook {
        name: hook.name.clone(),
        transition: transition_to_wire(hook.transition).into(),
        patience_ms: millis(hook.patience),
        otherwise: answer_to_wire(hook.otherwise).into(),
    };
    wire::Group {
        name: group.name.clone(),
        min: group.min,
        max: group.max,
        desired: group.desired,
        zones: group.zones.clone(),
        suspended: group.suspended.iter().cloned().collect(),
        template: group.template.clone(),
        blueprint: group.blueprint.as_ref().map(blueprint_to_wire),
        refreshed: group.foreign.is_some(),
        foreign: group.foreign.clone(),
        warm_pool: group.has_warm_pool,
        failure: group.failure.clone(),
        hooks: group.hooks.iter().map(hook).collect(),
    }
}

fn instance_from_wire(from: &wire::Instance) -> Valid<Instance> {
    let lifecycle = match from.lifecycle() {
        wire::Lifecycle::Launching => Lifecycle::Launching,
        wire::Lifecycle::LaunchingWaits => Lifecycle::LaunchingWaits,
        wire::Lifecycle::InService => Lifecycle::InService,
        wire::Lifecycle::Terminating => Lifecycle::Terminating,
        wire::Lifecycle::TerminatingWaits => Lifecycle::TerminatingWaits,
        wire::Lifecycle::Terminated => Lifecycle::Terminated,
        wire::Lifecycle::Aside => Lifecycle::Aside,
        wire::Lifecycle::Unspecified => return None.at("instance.lifecycle"),
    };
    let power = match from.power() {
        wire::Power::Pending => Power::Pending,
        wire::Power::Running => Power::Running,
        wire::Power::Stopping => Power::Stopping,
        wire::Power::Stopped => Power::Stopped,
        wire::Power::Terminated => Power::Terminated,
        wire::Power::Unknown => Power::Unknown,
        wire::Power::Unspecified => return None.at("instance.power"),
    };
    Ok(Instance {
        id: from.id.named("instance.id")?,
        pool: from.pool.clone(),
        lifecycle,
        power,
        zone: line("instance.zone", &from.zone)?,
        instance_type: from.instance_type.clone(),
        ami: from.ami.clone(),
        template_id: from.template_id.clone(),
        template_version: from.template_version.clone(),
        is_spot: from.spot,
        is_protected: from.protected,
    })
}

/// Writes a machine.
#[must_use]
pub fn instance_to_wire(instance: &Instance) -> wire::Instance {
    let lifecycle = match instance.lifecycle {
        Lifecycle::Launching => wire::Lifecycle::Launching,
        Lifecycle::LaunchingWaits => wire::Lifecycle::LaunchingWaits,
        Lifecycle::InService => wire::Lifecycle::InService,
        Lifecycle::Terminating => wire::Lifecycle::Terminating,
        Lifecycle::TerminatingWaits => wire::Lifecycle::TerminatingWaits,
        Lifecycle::Terminated => wire::Lifecycle::Terminated,
        Lifecycle::Aside => wire::Lifecycle::Aside,
    };
    let power = match instance.power {
        Power::Pending => wire::Power::Pending,
        Power::Running => wire::Power::Running,
        Power::Stopping => wire::Power::Stopping,
        Power::Stopped => wire::Power::Stopped,
        Power::Terminated => wire::Power::Terminated,
        Power::Unknown => wire::Power::Unknown,
    };
    wire::Instance {
        id: instance.id.to_string(),
        pool: instance.pool.clone(),
        lifecycle: lifecycle.into(),
        power: power.into(),
        zone: instance.zone.clone(),
        instance_type: instance.instance_type.clone(),
        ami: instance.ami.clone(),
        template_id: instance.template_id.clone(),
        template_version: instance.template_version.clone(),
        spot: instance.is_spot,
        protected: instance.is_protected,
    }
}
