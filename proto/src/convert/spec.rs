//! What an operator wants.

use std::str::FromStr;

use model::budget::{Amount, Budget};
use model::constraint::Constraint;
use model::id::{NameError, ServiceId};
use model::image::{Digest, Image, ImageReference, Pin};
use model::priority::Priority;
use model::resources::{GPUS_LIMIT, PIDS_LIMIT, Resources};
use model::spec::{
    Dependency, DependencyCondition, FailureAction, Mode, REPLICAS_LIMIT, ServiceSpec, Strategy,
    UpdateOrder, UpdatePolicy,
};

use crate::convert::checks::{duration, few, millis};
use crate::convert::job::{job_from_wire, job_to_wire, schedule_from_wire, schedule_to_wire};
use crate::convert::preference::{preference_to_wire, preferences_from_wire};
use crate::convert::rollout::{
    tolerance_from_wire, tolerance_to_wire, trial_from_wire, trial_to_wire,
};
use crate::convert::{At, Invalid, Named, Valid, task_spec_from_wire, task_spec_to_wire};
use crate::wire;

/// The highest count of restarts that a request may begin with: what is counted from there on is still read back.
const RESTARTS_LIMIT: u64 = 1 << 32;

/// Reads a spec that is asked for, and whose images are pinned.
///
/// # Errors
/// Names the first field that is not valid.
pub fn spec_from_wire(from: &wire::ServiceSpec) -> Valid<ServiceSpec> {
    let spec = accepted_from_wire(from)?;
    if spec.task.restarts_asked > RESTARTS_LIMIT {
        let invalid = Invalid::new("task.restarts_asked", "is the coordinator's to count");
        return Err(invalid.within(&spec.id.to_string()));
    }
    let mut images = spec.task.constraints.iter().flat_map(Constraint::images);
    if let Some(unpinned) = images.find(|image| image.digest().is_none()) {
        let why = format!("image.present({unpinned}) names no digest");
        return Err(Invalid::new("task.constraints", why).within(&spec.id.to_string()));
    }
    Ok(spec)
}

/// Reads a spec that was accepted once.
pub(crate) fn accepted_from_wire(from: &wire::ServiceSpec) -> Valid<ServiceSpec> {
    let id = ServiceId { project: from.project.named("project")?, name: from.name.named("name")? };
    let named = id.to_string();
    let read = || {
        let mode = mode_from_wire(from.mode.as_ref().at("mode")?)?;
        Ok(ServiceSpec {
            id,
            mode,
            schedule: schedule_from_wire(from.schedule.as_ref(), mode)?,
            task: task_spec_from_wire(from.task.as_ref().at("task")?)?,
            update: update_from_wire(from.update.as_ref().at("update")?)?,
            after: dependencies_from_wire(&from.after)?,
            budget: budget_from_wire(from.budget.as_ref())?,
            strategy: strategy_from_wire(from.strategy)?,
            preferences: preferences_from_wire(&from.preferences)?,
            priority: priority_from_wire(from.priority)?,
            is_left_in_place: from.is_left_in_place,
        })
    };
    read().map_err(|invalid: Invalid| invalid.within(&named))
}

/// Writes a spec.
#[must_use]
pub fn spec_to_wire(spec: &ServiceSpec) -> wire::ServiceSpec {
    use wire::service_spec::Mode as Wire;
    let mode = match spec.mode {
        Mode::Replicated { replicas } => Wire::Replicated(wire::Replicated { replicas }),
        Mode::Global => Wire::Global(wire::Global {}),
        Mode::Once => Wire::Once(wire::Once {}),
        Mode::Job(job) => Wire::Job(job_to_wire(&job)),
    };
    wire::ServiceSpec {
        project: spec.id.project.to_string(),
        name: spec.id.name.to_string(),
        mode: Some(mode),
        task: Some(task_spec_to_wire(&spec.task)),
        update: Some(update_to_wire(&spec.update)),
        after: dependencies_to_wire(&spec.after),
        budget: budget_to_wire(spec.budget),
        strategy: strategy_to_wire(spec.strategy),
        preferences: spec.preferences.iter().map(preference_to_wire).collect(),
        priority: priority_to_wire(spec.priority),
        is_left_in_place: spec.is_left_in_place,
        schedule: spec.schedule.as_ref().map(schedule_to_wire),
    }
}

fn strategy_from_wire(from: Option<i32>) -> Valid<Strategy> {
    let Some(from) = from else { return Ok(Strategy::Spread) };
    match wire::Strategy::try_from(from) {
        Ok(wire::Strategy::Spread) => Ok(Strategy::Spread),
        Ok(wire::Strategy::Binpack) => Ok(Strategy::Binpack),
        Ok(wire::Strategy::Unspecified) | Err(_) => None.at("strategy"),
    }
}

/// The usual is not written: what was stored before there was a choice stays as it was.
fn strategy_to_wire(strategy: Strategy) -> Option<i32> {
    match strategy {
        Strategy::Spread => None,
        Strategy::Binpack => Some(wire::Strategy::Binpack.into()),
    }
}

fn priority_from_wire(from: Option<i32>) -> Valid<Priority> {
    let Some(from) = from else { return Ok(Priority::Normal) };
    match wire::Priority::try_from(from) {
        Ok(wire::Priority::Low) => Ok(Priority::Low),
        Ok(wire::Priority::Normal) => Ok(Priority::Normal),
        Ok(wire::Priority::High) => Ok(Priority::High),
        Ok(wire::Priority::Critical) => Ok(Priority::Critical),
        Ok(wire::Priority::Unspecified) | Err(_) => None.at("priority"),
    }
}

/// The usual is not written, as with the strategy.
fn priority_to_wire(priority: Priority) -> Option<i32> {
    let priority = match priority {
        Priority::Low => wire::Priority::Low,
        Priority::Normal => return None,
        Priority::High => wire::Priority::High,
        Priority::Critical => wire::Priority::Critical,
    };
    Some(priority.into())
}

fn budget_from_wire(from: Option<&wire::Budget>) -> Valid<Budget> {
    use wire::budget::Kind;
    let Some(from) = from else { return Ok(Budget::Usual) };
    Ok(match from.kind.as_ref().at("budget")? {
        Kind::MinAvailable(amount) => Budget::MinAvailable(amount_from_wire(amount, "budget")?),
        Kind::MaxUnavailable(amount) => Budget::MaxUnavailable(amount_from_wire(amount, "budget")?),
    })
}

/// Reads a number or a part of something. `path` is where the amount is, and is named when it makes no sense.
pub(crate) fn amount_from_wire(from: &wire::Amount, path: &str) -> Valid<Amount> {
    use wire::amount::Kind;
    match *from.kind.as_ref().at(path)? {
        Kind::Count(count) if count > REPLICAS_LIMIT => {
            let why = format!("{count} is more than the {REPLICAS_LIMIT} allowed");
            Err(Invalid::new(&format!("{path}.count"), why))
        }
        Kind::Count(count) => Ok(Amount::Count(count)),
        Kind::Percent(percent) => {
            let fits = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
            let why = || format!("{percent} is not from 0 to 100");
            let invalid = || Invalid::new(&format!("{path}.percent"), why());
            Ok(Amount::Percent(fits.ok_or_else(invalid)?))
        }
    }
}

fn budget_to_wire(budget: Budget) -> Option<wire::Budget> {
    use wire::budget::Kind;
    let kind = match budget {
        Budget::Usual => return None,
        Budget::MinAvailable(amount) => Kind::MinAvailable(amount_to_wire(amount)),
        Budget::MaxUnavailable(amount) => Kind::MaxUnavailable(amount_to_wire(amount)),
    };
    Some(wire::Budget { kind: Some(kind) })
}

pub(crate) fn amount_to_wire(amount: Amount) -> wire::Amount {
    use wire::amount::Kind;
    let kind = match amount {
        Amount::Count(count) => Kind::Count(count),
        Amount::Percent(percent) => Kind::Percent(percent.into()),
    };
    wire::Amount { kind: Some(kind) }
}

fn mode_from_wire(from: &wire::service_spec::Mode) -> Valid<Mode> {
    use wire::service_spec::Mode as Wire;
    match from {
        Wire::Replicated(wire::Replicated { replicas }) if *replicas > REPLICAS_LIMIT => {
            let why = format!("{replicas} replicas are more than the {REPLICAS_LIMIT} allowed");
            Err(Invalid::new("mode.replicas", why))
        }
        Wire::Replicated(wire::Replicated { replicas }) => {
            Ok(Mode::Replicated { replicas: *replicas })
        }
        Wire::Global(_) => Ok(Mode::Global),
        Wire::Once(_) => Ok(Mode::Once),
        Wire::Job(job) => job_from_wire(job).map(Mode::Job),
    }
}

/// Reads an image with its pin.
///
/// # Errors
/// When the reference or the digest is malformed, or there is no pin.
pub fn image_from_wire(from: &wire::Image) -> Valid<Image> {
    let pin = match from.pin.as_ref().at("image.pin")? {
        wire::image::Pin::Manifest(digest) => {
            Pin::Manifest(digest.parse::<Digest>().at("image.manifest")?)
        }
        wire::image::Pin::Local(digest) => Pin::Local(digest.parse::<Digest>().at("image.local")?),
    };
    Ok(Image { reference: from.reference.parse::<ImageReference>().at("image")?, pin })
}

/// Writes an image with its pin.
#[must_use]
pub fn image_to_wire(image: &Image) -> wire::Image {
    let pin = match &image.pin {
        Pin::Manifest(digest) => wire::image::Pin::Manifest(digest.to_string()),
        Pin::Local(digest) => wire::image::Pin::Local(digest.to_string()),
    };
    wire::Image { reference: image.reference.to_string(), pin: Some(pin) }
}

/// Reads an amount of what nodes have. `path` is named when it is more than any node can have.
pub(crate) fn resources_from_wire(path: &str, from: Option<&wire::Resources>) -> Valid<Resources> {
    let from = from.copied().unwrap_or_default();
    for (name, amount, limit) in [("gpus", from.gpus, GPUS_LIMIT), ("pids", from.pids, PIDS_LIMIT)]
    {
        if amount > limit {
            let why = format!("{amount} are more than the {limit} allowed");
            return Err(Invalid::new(&format!("{path}.{name}"), why));
        }
    }
    let wire::Resources { cpu_millis, memory_bytes, gpus, disk_bytes, pids } = from;
    Ok(Resources { cpu_millis, memory_bytes, gpus, disk_bytes, pids })
}

/// Writes an amount of what nodes have.
#[must_use]
pub const fn resources_to_wire(resources: &Resources) -> wire::Resources {
    let Resources { cpu_millis, memory_bytes, gpus, disk_bytes, pids } = *resources;
    wire::Resources { cpu_millis, memory_bytes, gpus, disk_bytes, pids }
}

pub(crate) fn dependencies_from_wire<Name>(
    from: &[wire::Dependency],
) -> Valid<Vec<Dependency<Name>>>
where
    Name: FromStr<Err = NameError>,
{
    use wire::DependencyCondition as Wire;
    few("after", from.len())?;
    let read = |from: &wire::Dependency| {
        let condition = match from.condition() {
            Wire::Started => DependencyCondition::Started,
            Wire::Healthy => DependencyCondition::Healthy,
            Wire::Completed => DependencyCondition::Completed,
            Wire::Unspecified => return None.at("after.condition"),
        };
        Ok(Dependency { on: from.on.named("after.on")?, condition })
    };
    from.iter().map(read).collect()
}

pub(crate) fn dependencies_to_wire<Name: ToString>(
    all: &[Dependency<Name>],
) -> Vec<wire::Dependency> {
    use wire::DependencyCondition as Wire;
    let write = |after: &Dependency<Name>| {
        let condition = match after.condition {
            DependencyCondition::Started => Wire::Started,
            DependencyCondition::Healthy => Wire::Healthy,
            DependencyCondition::Completed => Wire::Completed,
        };
        wire::Dependency { on: after.on.to_string(), condition: condition.into() }
    };
    all.iter().map(write).collect()
}

fn update_from_wire(from: &wire::UpdatePolicy) -> Valid<UpdatePolicy> {
    use wire::{FailureAction as Action, UpdateOrder as Order};
    if from.parallelism == 0 || from.max_failure_permille > 1_000 {
        let why = "parallelism is at least 1 and the failures allowed at most 1,000 thousandths";
        return Err(Invalid::new("update", why));
    }
    if from.progress_deadline_ms == 0 {
        let why = "is 0: every rollout would fail before it has begun";
        return Err(Invalid::new("update.progress_deadline", why));
    }
    let order = match from.order() {
        Order::Auto => UpdateOrder::Auto,
        Order::StartFirst => UpdateOrder::StartFirst,
        Order::StopFirst => UpdateOrder::StopFirst,
        Order::Unspecified => return None.at("update.order"),
    };
    let on_failure = match from.on_failure() {
        Action::Rollback => FailureAction::Rollback,
        Action::Pause => FailureAction::Pause,
        Action::Continue => FailureAction::Continue,
        Action::Unspecified => return None.at("update.on_failure"),
    };
    Ok(UpdatePolicy {
        parallelism: from.parallelism,
        order,
        monitor: duration("update.monitor", from.monitor_ms)?,
        delay: duration("update.delay", from.delay_ms)?,
        max_failure_permille: from.max_failure_permille,
        tolerance: tolerance_from_wire(from.tolerance)?,
        trial: from.trial.as_ref().map(trial_from_wire).transpose()?,
        progress_deadline: duration("update.progress_deadline", from.progress_deadline_ms)?,
        on_failure,
    })
}

fn update_to_wire(policy: &UpdatePolicy) -> wire::UpdatePolicy {
    use wire::{FailureAction as Action, UpdateOrder as Order};
    let order = match policy.order {
        UpdateOrder::Auto => Order::Auto,
        UpdateOrder::StartFirst => Order::StartFirst,
        UpdateOrder::StopFirst => Order::StopFirst,
    };
    let on_failure = match policy.on_failure {
        FailureAction::Rollback => Action::Rollback,
        FailureAction::Pause => Action::Pause,
        FailureAction::Continue => Action::Continue,
    };
    wire::UpdatePolicy {
        parallelism: policy.parallelism,
        order: order.into(),
        monitor_ms: millis(policy.monitor),
        max_failure_permille: policy.max_failure_permille,
        on_failure: on_failure.into(),
        progress_deadline_ms: millis(policy.progress_deadline),
        delay_ms: millis(policy.delay),
        tolerance: tolerance_to_wire(policy.tolerance),
        trial: policy.trial.as_ref().map(trial_to_wire),
    }
}
