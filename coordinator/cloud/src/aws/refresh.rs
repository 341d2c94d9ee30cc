//! What a group launches, how many machines it may have, and which of them end.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types::{
    ImageState, ReplaceRootVolumeTaskState as TaskState, RequestLaunchTemplateData,
};
use model::id::NodeId;
use model::refresh::Blueprint;

use super::{Aws, failed};
use crate::{CloudError, Rooted};

/// A version of a template is described by so many bytes at most.
const DESCRIPTION: &str = "made by Wharf for a refresh";

impl Aws {
    /// A token makes one version of each template, however often it is asked for.
    pub(super) async fn make_versions(
        &self,
        token: &str,
        from: &Blueprint,
        ami: &str,
    ) -> Result<Blueprint, CloudError> {
        const REQUEST: &str = "CreateLaunchTemplateVersion";
        let mut made = Blueprint::default();
        for (id, version) in &from.0 {
            // The block devices of the source are left out by EC2: the image brings its own.
            let data = RequestLaunchTemplateData::builder().image_id(ami).build();
            let request = self
                .ec2
                .create_launch_template_version()
                .client_token(format!("{token}-{id}"))
                .launch_template_id(id)
                .source_version(version.to_string())
                .version_description(DESCRIPTION)
                .launch_template_data(data);
            let answer = request.send().await.map_err(|error| failed(REQUEST, &error))?;
            let number = answer.launch_template_version().and_then(|made| made.version_number());
            let number = number.and_then(|number| u64::try_from(number).ok());
            let number = number.ok_or_else(|| CloudError::Unanswered {
                request: REQUEST,
                why: format!("the answer does not say which version of {id} was made"),
            })?;
            made.0.insert(id.clone(), number);
        }
        Ok(made)
    }

    /// Whoever asks again with the same token is told of the same task, and then asks how far that is.
    pub(super) async fn root_volume(
        &self,
        instance: &NodeId,
        token: &str,
        ami: &str,
    ) -> Result<Rooted, CloudError> {
        const BEGIN: &str = "CreateReplaceRootVolumeTask";
        const LOOK: &str = "DescribeReplaceRootVolumeTasks";
        let request = self.ec2.create_replace_root_volume_task().instance_id(instance.as_str());
        let request = request.image_id(ami).client_token(token).delete_replaced_root_volume(true);
        let begun = request.send().await.map_err(|error| failed(BEGIN, &error))?;
        let task = begun
            .replace_root_volume_task()
            .and_then(|task| task.replace_root_volume_task_id().map(str::to_owned));
        let task = task.ok_or_else(|| CloudError::Unanswered {
            request: BEGIN,
            why: "the answer names no task".to_owned(),
        })?;
        let request = self.ec2.describe_replace_root_volume_tasks();
        let request = request.replace_root_volume_task_ids(&task);
        let shown = request.send().await.map_err(|error| failed(LOOK, &error))?;
        let state = shown.replace_root_volume_tasks().first().and_then(|task| task.task_state());
        Ok(match state {
            Some(TaskState::Succeeded) => Rooted::Replaced,
            Some(state @ (TaskState::Failed | TaskState::FailedDetached)) => {
                Rooted::InVain { why: format!("{task} of {instance} is {}", state.as_str()) }
            }
            // What is not shown yet was begun a moment ago.
            Some(_) | None => Rooted::UnderWay,
        })
    }

    /// Machines that it has begun with are waited for: it is over when they are.
    pub(super) async fn cancel_foreign(&self, pool: &str) -> Result<bool, CloudError> {
        const REQUEST: &str = "CancelInstanceRefresh";
        self.forget_slow(pool);
        let Some(foreign) = self.foreign(pool).await? else { return Ok(true) };
        if foreign.is_being_cancelled() {
            return Ok(false);
        }
        let request = self.groups.cancel_instance_refresh().auto_scaling_group_name(pool);
        match request.send().await.map_err(|error| failed(REQUEST, &error)) {
            Err(CloudError::Refused { code, .. })
                if code.contains("ActiveInstanceRefreshNotFound") =>
            {
                Ok(true)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(false),
        }
    }

    async fn group(&self, pool: &str) -> Result<asg::AutoScalingGroup, CloudError> {
        const REQUEST: &str = "DescribeAutoScalingGroups";
        let request = self.groups.describe_auto_scaling_groups().auto_scaling_group_names(pool);
        let found = request.send().await.map_err(|error| failed(REQUEST, &error))?;
        let group = found.auto_scaling_groups().first().cloned();
        group.ok_or_else(|| CloudError::Refused {
            request: REQUEST,
            code: "NotFound".to_owned(),
            why: format!("there is no Auto Scaling group {pool}"),
        })
    }

    /// There is no compare-and-set: what is read just before is as close as it gets.
    pub(super) async fn launch_from(
        &self,
        pool: &str,
        from: &Blueprint,
        to: &Blueprint,
    ) -> Result<(), CloudError> {
        const REQUEST: &str = "UpdateAutoScalingGroup";
        let (found, _) = self.groups(&BTreeSet::from([pool.to_owned()])).await?;
        let named = found.first().map(|(_, named)| named.clone()).unwrap_or_default();
        let known = self.blueprint(&named).await?;
        if known.as_ref() == Some(to) && named.iter().all(|(_, word)| word.parse::<u64>().is_ok()) {
            return Ok(());
        }
        if known.as_ref().is_none_or(|known| known != from && known != to) {
            let known =
                known.map_or_else(|| "something else".to_owned(), |known| known.to_string());
            let why = format!("{pool} launches {known} by now, and {from} was expected");
            return Err(CloudError::Refused { request: REQUEST, code: "Changed".to_owned(), why });
        }
        let group = self.group(pool).await?;
        let request = self.groups.update_auto_scaling_group().auto_scaling_group_name(pool);
        let request = match group.mixed_instances_policy() {
            Some(policy) => request.mixed_instances_policy(with_versions(policy, to)),
            None => {
                let template = group.launch_template().map(|template| numbered(template, to));
                request.set_launch_template(template)
            }
        };
        request.send().await.map_err(|error| failed(REQUEST, &error))?;
        self.forget_slow(pool);
        Ok(())
    }

    pub(super) async fn allow(&self, pool: &str, to: u32) -> Result<(), CloudError> {
        let request = self.groups.update_auto_scaling_group().auto_scaling_group_name(pool);
        let request = request.max_size(i32::try_from(to).unwrap_or(i32::MAX));
        request.send().await.map_err(|error| failed("UpdateAutoScalingGroup", &error))?;
        Ok(())
    }

    pub(super) async fn suspend(
        &self,
        pool: &str,
        process: &str,
        suspended: bool,
    ) -> Result<(), CloudError> {
        if suspended {
            let request = self.groups.suspend_processes().auto_scaling_group_name(pool);
            let request = request.scaling_processes(process);
            request.send().await.map_err(|error| failed("SuspendProcesses", &error))?;
        } else {
            let request = self.groups.resume_processes().auto_scaling_group_name(pool);
            let request = request.scaling_processes(process);
            request.send().await.map_err(|error| failed("ResumeProcesses", &error))?;
        }
        Ok(())
    }

    pub(super) async fn end(
        &self,
        pool: &str,
        instance: &NodeId,
        keep: u32,
    ) -> Result<(), CloudError> {
        const REQUEST: &str = "TerminateInstanceInAutoScalingGroup";
        let group = self.group(pool).await?;
        let mut members = group.instances().iter();
        let member = members.find(|one| one.instance_id() == Some(instance.as_str()));
        let is_leaving = |one: &asg::Instance| {
            one.lifecycle_state().is_some_and(|state| state.as_str().starts_with("Terminat"))
        };
        // A second request would have the group want one less again.
        if member.is_none_or(is_leaving) {
            return Ok(());
        }
        let desired = group.desired_capacity().unwrap_or_default();
        let request = self
            .groups
            .terminate_instance_in_auto_scaling_group()
            .instance_id(instance.as_str())
            .should_decrement_desired_capacity(i64::from(desired) > i64::from(keep));
        request.send().await.map_err(|error| failed(REQUEST, &error))?;
        Ok(())
    }

    pub(super) async fn knows_ami(&self, ami: &str) -> Result<bool, CloudError> {
        let request = self.ec2.describe_images().image_ids(ami);
        match request.send().await {
            Ok(found) => {
                let mut states = found.images().iter().filter_map(|image| image.state());
                Ok(states.any(|state| *state == ImageState::Available))
            }
            Err(error) => match failed("DescribeImages", &error) {
                CloudError::Refused { code, .. } if code.starts_with("InvalidAMIID") => Ok(false),
                error => Err(error),
            },
        }
    }
}

/// The same template in the version that it is to have. Its name is left out: a group takes one of the two only.
fn numbered(
    from: &asg::LaunchTemplateSpecification,
    to: &Blueprint,
) -> asg::LaunchTemplateSpecification {
    let id = from.launch_template_id().unwrap_or_default();
    let version = to.0.get(id).map(ToString::to_string);
    let version = version.or_else(|| from.version().map(str::to_owned));
    asg::LaunchTemplateSpecification::builder().launch_template_id(id).set_version(version).build()
}

/// The same policy with every template in the version that it is to have. A group takes a policy as a whole.
fn with_versions(from: &asg::MixedInstancesPolicy, to: &Blueprint) -> asg::MixedInstancesPolicy {
    let template = from.launch_template().map(|template| {
        let base = template.launch_template_specification().map(|base| numbered(base, to));
        let overrides = template.overrides().iter().map(|one| {
            let mut one = one.clone();
            one.launch_template_specification =
                one.launch_template_specification.map(|named| numbered(&named, to));
            one
        });
        asg::LaunchTemplate::builder()
            .set_launch_template_specification(base)
            .set_overrides(Some(overrides.collect()))
            .build()
    });
    asg::MixedInstancesPolicy::builder()
        .set_launch_template(template)
        .set_instances_distribution(from.instances_distribution().cloned())
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn named(id: &str, version: &str) -> asg::LaunchTemplateSpecification {
        asg::LaunchTemplateSpecification::builder()
            .launch_template_id(id)
            .launch_template_name("a name")
            .version(version)
            .build()
    }

    #[test]
    fn every_template_of_a_policy_is_set_and_nothing_else_of_it_is_changed() {
        let spot = asg::InstancesDistribution::builder().on_demand_base_capacity(2).build();
        let arm = asg::LaunchTemplateOverrides::builder()
            .instance_type("m7g.large")
            .weighted_capacity("2")
            .launch_template_specification(named("lt-arm", "$Latest"))
            .build();
        let intel = asg::LaunchTemplateOverrides::builder().instance_type("m7i.large").build();
        let template = asg::LaunchTemplate::builder()
            .launch_template_specification(named("lt-intel", "3"))
            .overrides(arm)
            .overrides(intel.clone())
            .build();
        let policy = asg::MixedInstancesPolicy::builder()
            .launch_template(template)
            .instances_distribution(spot.clone())
            .build();
        let to = Blueprint(BTreeMap::from([("lt-intel".to_owned(), 4), ("lt-arm".to_owned(), 9)]));
        let changed = with_versions(&policy, &to);
        assert_eq!(changed.instances_distribution(), Some(&spot));
        let template = changed.launch_template().unwrap();
        let base = template.launch_template_specification().unwrap();
        assert_eq!((base.version(), base.launch_template_name()), (Some("4"), None));
        let [arm, other] = template.overrides() else { panic!("{template:?}") };
        assert_eq!(arm.launch_template_specification().unwrap().version(), Some("9"));
        assert_eq!((arm.weighted_capacity(), other), (Some("2"), &intel));
    }
}
