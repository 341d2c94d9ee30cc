//! Pools and what they need, made and changed by calls of the APIs.

use serde_json::{Value, json};

use super::api::values;
use super::http::base64;
use super::{IMAGE, Region, Service, ZONES};

/// An Auto Scaling group with a launch template of the same name.
#[derive(Debug, Clone)]
pub struct Pool<'a> {
    /// The name of both.
    pub name: &'a str,
    /// How many instances it begins with.
    pub size: u32,
    /// How many it may have.
    pub max: u32,
    /// Its zones.
    pub zones: &'a [&'a str],
    /// The image.
    pub image: &'a str,
    /// What its nodes are told: lines of `NAME=VALUE`.
    pub user_data: &'a str,
    /// The instance profile, if its instances have a role.
    pub profile: Option<&'a str>,
    /// Whether its instances are Spot instances.
    pub spot: bool,
    /// The hooks it is created with.
    pub hooks: &'a [Hook<'a>],
}

impl Default for Pool<'_> {
    fn default() -> Self {
        Self {
            name: "web",
            size: 1,
            max: 200,
            zones: &ZONES,
            image: IMAGE,
            user_data: "",
            profile: None,
            spot: false,
            hooks: &[],
        }
    }
}

/// Where a hook holds an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Before it goes into service.
    Launching,
    /// Before it is terminated.
    Terminating,
}

impl Transition {
    fn name(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }
}

/// A lifecycle hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it holds.
    pub transition: Transition,
    /// How long it holds without a heartbeat.
    pub heartbeat_s: u32,
    /// What is done when nobody has answered: `CONTINUE` or `ABANDON`.
    pub default_result: &'a str,
}

impl<'a> Hook<'a> {
    /// One that holds for five minutes, and then lets go of an end and gives up a launch.
    #[must_use]
    pub fn new(name: &'a str, transition: Transition) -> Self {
        let default_result = match transition {
            Transition::Launching => "ABANDON",
            Transition::Terminating => "CONTINUE",
        };
        Self { name, transition, heartbeat_s: 300, default_result }
    }
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Where it is called.
    pub url: String,
    /// By what others name it.
    pub arn: String,
}

impl Region {
    /// Makes a launch template and a group.
    ///
    /// # Panics
    /// When either is refused.
    pub fn create_pool(&self, pool: &Pool<'_>) {
        self.create_template(pool);
        let template =
            [("LaunchTemplate.LaunchTemplateName", pool.name), ("LaunchTemplate.Version", "1")];
        let (size, max) = (pool.size.to_string(), pool.max.to_string());
        let subnets = self.subnets(pool.zones).join(",");
        let mut group = vec![("AutoScalingGroupName", pool.name), ("VPCZoneIdentifier", &subnets)];
        group.extend([("MinSize", "0"), ("MaxSize", &max), ("DesiredCapacity", &size)]);
        group.extend(template);
        let hooks: Vec<(String, String)> = pool
            .hooks
            .iter()
            .zip(1..)
            .flat_map(|(hook, number)| specification(hook, number))
            .collect();
        group.extend(hooks.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.must(Service::AutoScaling, "CreateAutoScalingGroup", &group);
    }

    fn create_template(&self, pool: &Pool<'_>) {
        let user_data = base64(pool.user_data);
        let mut template = vec![
            ("LaunchTemplateName", pool.name),
            ("LaunchTemplateData.ImageId", pool.image),
            ("LaunchTemplateData.InstanceType", "t3.small"),
            ("LaunchTemplateData.UserData", &user_data),
            ("LaunchTemplateData.MetadataOptions.HttpTokens", "required"),
            ("LaunchTemplateData.MetadataOptions.InstanceMetadataTags", "enabled"),
        ];
        if let Some(profile) = pool.profile {
            template.push(("LaunchTemplateData.IamInstanceProfile.Name", profile));
        }
        if pool.spot {
            template.push(("LaunchTemplateData.InstanceMarketOptions.MarketType", "spot"));
        }
        self.must(Service::Ec2, "CreateLaunchTemplate", &template);
    }

    /// The subnets of these zones.
    fn subnets(&self, zones: &[&str]) -> Vec<String> {
        let answer = self.must(Service::Ec2, "DescribeSubnets", &[]);
        let found =
            values(&answer, "availabilityZone").into_iter().zip(values(&answer, "subnetId"));
        found.filter(|(zone, _)| zones.contains(&zone.as_str())).map(|(_, subnet)| subnet).collect()
    }

    /// Makes a hook of a group that is there, or changes it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn put_hook(&self, group: &str, hook: &Hook<'_>) {
        let heartbeat = hook.heartbeat_s.to_string();
        let parameters = [
            ("AutoScalingGroupName", group),
            ("LifecycleHookName", hook.name),
            ("LifecycleTransition", hook.transition.name()),
            ("HeartbeatTimeout", &heartbeat),
            ("DefaultResult", hook.default_result),
        ];
        self.must(Service::AutoScaling, "PutLifecycleHook", &parameters);
    }

    /// Completes the lifecycle action that an instance waits for.
    ///
    /// # Panics
    /// When it is refused.
    pub fn complete(&self, group: &str, hook: &str, instance: &str, result: &str) {
        let parameters = [
            ("AutoScalingGroupName", group),
            ("LifecycleHookName", hook),
            ("InstanceId", instance),
            ("LifecycleActionResult", result),
        ];
        self.must(Service::AutoScaling, "CompleteLifecycleAction", &parameters);
    }

    /// Has a group want so many instances.
    ///
    /// # Panics
    /// When it is refused.
    pub fn set_desired(&self, group: &str, capacity: u32) {
        let capacity = capacity.to_string();
        let parameters = [("AutoScalingGroupName", group), ("DesiredCapacity", &capacity)];
        self.must(Service::AutoScaling, "SetDesiredCapacity", &parameters);
    }

    /// Terminates a member by way of its hooks; the group replaces it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn terminate_in_group(&self, instance: &str) {
        let parameters = [("InstanceId", instance), ("ShouldDecrementDesiredCapacity", "false")];
        self.must(Service::AutoScaling, "TerminateInstanceInAutoScalingGroup", &parameters);
    }

    /// Does something to an instance by EC2 itself: `TerminateInstances`, `StopInstances`, `StartInstances`, `RebootInstances`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn ec2(&self, action: &str, instance: &str) {
        self.must(Service::Ec2, action, &[("InstanceId.1", instance)]);
    }

    /// Makes a queue.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn create_queue(&self, name: &str) -> Queue {
        let made = self.must_json("AmazonSQS.CreateQueue", &json!({ "QueueName": name }));
        let url = made["QueueUrl"].as_str().expect("a queue has an address").to_owned();
        let asked = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
        let shown = self.must_json("AmazonSQS.GetQueueAttributes", &asked);
        let arn = shown["Attributes"]["QueueArn"].as_str().expect("a queue has a name").to_owned();
        Queue { url, arn }
    }

    /// Has events go to a queue, those that fit the pattern (`{"source": ["aws.autoscaling"]}`).
    ///
    /// # Panics
    /// When it is refused.
    pub fn create_rule(&self, name: &str, pattern: &Value, queue: &Queue) {
        let rule = json!({ "Name": name, "EventPattern": pattern.to_string(), "State": "ENABLED" });
        self.must_json("AWSEvents.PutRule", &rule);
        let target = json!({ "Rule": name, "Targets": [{ "Id": "queue", "Arn": queue.arn }] });
        self.must_json("AWSEvents.PutTargets", &target);
    }

    /// All that is in a queue, taken out of it.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn receive(&self, queue: &Queue) -> Vec<Value> {
        let mut received = Vec::new();
        loop {
            let asked = json!({ "QueueUrl": queue.url, "MaxNumberOfMessages": 10 });
            let answer = self.must_json("AmazonSQS.ReceiveMessage", &asked);
            let Some(messages) = answer["Messages"].as_array().filter(|found| !found.is_empty())
            else {
                return received;
            };
            for message in messages {
                let body = message["Body"].as_str().unwrap_or_default();
                received.push(serde_json::from_str(body).unwrap_or_else(|_| body.into()));
                let done =
                    json!({ "QueueUrl": queue.url, "ReceiptHandle": message["ReceiptHandle"] });
                self.must_json("AmazonSQS.DeleteMessage", &done);
            }
        }
    }
}

/// One hook among the parameters of a new group.
fn specification(hook: &Hook<'_>, number: u32) -> Vec<(String, String)> {
    let prefix = format!("LifecycleHookSpecificationList.member.{number}");
    let heartbeat = hook.heartbeat_s.to_string();
    let fields = [
        ("LifecycleHookName", hook.name),
        ("LifecycleTransition", hook.transition.name()),
        ("HeartbeatTimeout", &heartbeat),
        ("DefaultResult", hook.default_result),
    ];
    let named =
        fields.iter().map(|(name, value)| (format!("{prefix}.{name}"), (*value).to_owned()));
    named.collect()
}
