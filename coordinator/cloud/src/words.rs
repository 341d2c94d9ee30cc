//! What the cloud says, in our words. Unknown words are taken for the harmless meaning: the SDK is older than the cloud.

use std::time::Duration;

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use model::fleet::{
    Answer, Group, GroupHook, Instance, LAUNCHING_HOOK, Lifecycle, Power, TERMINATING_HOOK,
    Transition,
};
use model::id::NodeId;

use crate::message::{LAUNCHING, TERMINATING, transition};

pub(crate) const fn transition_word(transition: Transition) -> &'static str {
    match transition {
        Transition::Launching => LAUNCHING,
        Transition::Terminating => TERMINATING,
    }
}

pub(crate) const fn answer_word(answer: Answer) -> &'static str {
    match answer {
        Answer::Continue => "CONTINUE",
        Answer::Abandon => "ABANDON",
    }
}

pub(crate) const fn hook_word(transition: Transition) -> &'static str {
    match transition {
        Transition::Launching => LAUNCHING_HOOK,
        Transition::Terminating => TERMINATING_HOOK,
    }
}

fn count(from: Option<i32>) -> u32 {
    u32::try_from(from.unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn group(from: &asg::AutoScalingGroup) -> Option<Group> {
    let suspended = from.suspended_processes().iter();
    Some(Group {
        name: from.auto_scaling_group_name()?.to_owned(),
        min: count(from.min_size()),
        max: count(from.max_size()),
        desired: count(from.desired_capacity()),
        zones: from.availability_zones().to_vec(),
        suspended: suspended.filter_map(|one| one.process_name().map(str::to_owned)).collect(),
        template: template(from).map(|template| {
            let version = template.version().unwrap_or("$Default");
            let name = template.launch_template_name().or(template.launch_template_id());
            format!("{} version {version}", name.unwrap_or("a launch template"))
        }),
        blueprint: None,
        foreign: None,
        has_warm_pool: from.warm_pool_configuration().is_some(),
        failure: None,
        hooks: Vec::new(),
    })
}

/// Every launch template that a group names, with what it says of the version: a number, `$Latest`, or `$Default`.
pub(crate) fn named_templates(group: &asg::AutoScalingGroup) -> Vec<(String, String)> {
    let mixed = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let overrides = mixed.into_iter().flat_map(|mixed| mixed.overrides());
    let overrides = overrides.filter_map(|one| one.launch_template_specification());
    let named = template(group).into_iter().chain(overrides).filter_map(|named| {
        let version = named.version().filter(|version| !version.is_empty());
        Some((named.launch_template_id()?.to_owned(), version.unwrap_or("$Default").to_owned()))
    });
    named.collect()
}

fn template(group: &asg::AutoScalingGroup) -> Option<&asg::LaunchTemplateSpecification> {
    let mixed = || {
        let template = group.mixed_instances_policy()?.launch_template()?;
        template.launch_template_specification()
    };
    group.launch_template().or_else(mixed)
}

pub(crate) fn hook(from: &asg::LifecycleHook) -> Option<GroupHook> {
    let patience = u64::try_from(from.heartbeat_timeout().unwrap_or(3_600)).unwrap_or_default();
    Some(GroupHook {
        name: from.lifecycle_hook_name()?.to_owned(),
        transition: transition(from.lifecycle_transition()?)?,
        patience: Duration::from_secs(patience),
        otherwise: match from.default_result() {
            Some("CONTINUE") => Answer::Continue,
            _ => Answer::Abandon,
        },
    })
}

/// A machine as its group describes it. What only EC2 knows comes later.
pub(crate) fn member(pool: &str, from: &asg::Instance) -> Option<Instance> {
    Some(Instance {
        id: from.instance_id()?.parse().ok()?,
        pool: Some(pool.to_owned()),
        lifecycle: from.lifecycle_state().map_or(Lifecycle::Aside, lifecycle),
        power: Power::Unknown,
        zone: from.availability_zone().unwrap_or_default().to_owned(),
        instance_type: from.instance_type().map(str::to_owned),
        ami: None,
        template_id: from
            .launch_template()
            .and_then(|template| template.launch_template_id())
            .map(str::to_owned),
        template_version: from
            .launch_template()
            .and_then(|template| template.version())
            .map(str::to_owned),
        is_spot: false,
        is_protected: from.protected_from_scale_in().unwrap_or_default(),
    })
}

fn lifecycle(from: &asg::LifecycleState) -> Lifecycle {
    use asg::LifecycleState as Word;
    match from {
        Word::Pending | Word::PendingProceed => Lifecycle::Launching,
        Word::PendingWait => Lifecycle::LaunchingWaits,
        Word::InService => Lifecycle::InService,
        Word::Terminating | Word::TerminatingProceed => Lifecycle::Terminating,
        Word::TerminatingWait => Lifecycle::TerminatingWaits,
        Word::Terminated => Lifecycle::Terminated,
        _ => Lifecycle::Aside,
    }
}

/// The id of a machine that EC2 describes.
pub(crate) fn id(from: &ec2::Instance) -> Option<NodeId> {
    from.instance_id()?.parse().ok()
}

/// A machine that EC2 describes and no group names.
pub(crate) fn lone(id: NodeId) -> Instance {
    Instance {
        id,
        pool: None,
        lifecycle: Lifecycle::Aside,
        power: Power::Unknown,
        zone: String::new(),
        instance_type: None,
        ami: None,
        template_id: None,
        template_version: None,
        is_spot: false,
        is_protected: false,
    }
}

/// Adds what EC2 knows of a machine.
pub(crate) fn complete(instance: &mut Instance, from: &ec2::Instance) {
    instance.power = from.state().and_then(|state| state.name()).map_or(Power::Unknown, power);
    instance.ami = from.image_id().map(str::to_owned);
    let zone = from.placement().and_then(|placement| placement.availability_zone());
    zone.into_iter().for_each(|zone| zone.clone_into(&mut instance.zone));
    instance.instance_type =
        from.instance_type().map(|kind| kind.as_str().to_owned()).or(instance.instance_type.take());
    instance.is_spot = from.instance_lifecycle() == Some(&ec2::InstanceLifecycleType::Spot);
}

fn power(from: &ec2::InstanceStateName) -> Power {
    use ec2::InstanceStateName as Word;
    match from {
        Word::Pending => Power::Pending,
        Word::Running => Power::Running,
        Word::ShuttingDown | Word::Stopping => Power::Stopping,
        Word::Stopped => Power::Stopped,
        Word::Terminated => Power::Terminated,
        _ => Power::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_beside_the_way_through_a_group_mean_nothing() {
        for word in
            ["Standby", "Warmed:Pending:Wait", "Terminating:Retained", "a word of next year"]
        {
            assert_eq!(lifecycle(&word.into()), Lifecycle::Aside, "{word}");
        }
        assert_eq!(lifecycle(&"Terminating:Wait".into()), Lifecycle::TerminatingWaits);
        assert_eq!(lifecycle(&"Pending:Wait".into()), Lifecycle::LaunchingWaits);
    }

    #[test]
    fn a_machine_of_a_mixed_group_is_launched_from_its_policy() {
        let specification = asg::LaunchTemplateSpecification::builder()
            .launch_template_name("web")
            .version("7")
            .build();
        let template =
            asg::LaunchTemplate::builder().launch_template_specification(specification).build();
        let policy = asg::MixedInstancesPolicy::builder().launch_template(template).build();
        let from = asg::AutoScalingGroup::builder()
            .auto_scaling_group_name("web")
            .min_size(1)
            .max_size(9)
            .desired_capacity(-1)
            .mixed_instances_policy(policy)
            .build();
        let group = group(&from).unwrap();
        assert_eq!(group.template.as_deref(), Some("web version 7"));
        assert_eq!((group.min, group.max, group.desired), (1, 9, 0));
    }

    #[test]
    fn a_word_for_power_that_nobody_knows_proves_nothing() {
        let state = |name: &str| ec2::InstanceState::builder().name(name.into()).build();
        for (word, is_off) in
            [("terminated", true), ("stopped", true), ("shutting-down", false), ("asleep", false)]
        {
            let from = ec2::Instance::builder().instance_id("i-1").state(state(word)).build();
            let mut instance = lone("i-1".parse().unwrap());
            complete(&mut instance, &from);
            assert_eq!(instance.power.is_off(), is_off, "{word}");
        }
    }

    #[test]
    fn a_hook_that_does_not_say_what_it_does_by_itself_abandons() {
        let from = asg::LifecycleHook::builder()
            .lifecycle_hook_name("x")
            .lifecycle_transition(TERMINATING)
            .build();
        assert_eq!(hook(&from).unwrap().otherwise, Answer::Abandon);
    }
}
