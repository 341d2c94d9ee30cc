"""CloudFormation makes a pool with all that belongs to it."""

from __future__ import annotations

import json
from typing import Any

from .case import IMAGE, LAUNCHING, TERMINATING, RegionCase, client


def _get(name: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def _template(size: int) -> str:
    trusted = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    sender = {"Service": "events.amazonaws.com"}
    sends = {"Effect": "Allow", "Principal": sender, "Action": "sqs:SendMessage", "Resource": _get("Queue", "Arn")}
    data = {
        "ImageId": IMAGE,
        "InstanceType": "t3.small",
        "IamInstanceProfile": {"Arn": _get("Profile", "Arn")},
        "SecurityGroupIds": [_get("Guard", "GroupId")],
        "MetadataOptions": {"HttpTokens": "required"},
    }
    pool = {
        "MinSize": "0",
        "MaxSize": "5",
        "DesiredCapacity": str(size),
        "AvailabilityZones": ["eu-west-1a", "eu-west-1b"],
        "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": _get("Template", "LatestVersionNumber")},
        "LifecycleHookSpecificationList": [
            {"LifecycleHookName": "up", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": "300"}
        ],
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
        "Tags": [{"Key": "managed-by", "Value": "wharf", "PropagateAtLaunch": True}],
    }
    down = {"AutoScalingGroupName": {"Ref": "Pool"}, "LifecycleHookName": "down", "LifecycleTransition": TERMINATING}
    targets = [{"Id": "queue", "Arn": _get("Queue", "Arn")}]
    resources = {
        "Queue": ("SQS::Queue", {}),
        "Policy": ("SQS::QueuePolicy", {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Statement": [sends]}}),
        "Rule": (
            "Events::Rule",
            {"EventPattern": {"source": ["aws.autoscaling"]}, "State": "ENABLED", "Targets": targets},
        ),
        "Role": ("IAM::Role", {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trusted]}}),
        "Profile": ("IAM::InstanceProfile", {"Roles": [{"Ref": "Role"}]}),
        "Guard": ("EC2::SecurityGroup", {"GroupDescription": "nodes"}),
        "Template": ("EC2::LaunchTemplate", {"LaunchTemplateData": data}),
        "Pool": ("AutoScaling::AutoScalingGroup", pool),
        "Hook": ("AutoScaling::LifecycleHook", {**down, "HeartbeatTimeout": 300, "DefaultResult": "CONTINUE"}),
    }
    made = {name: {"Type": f"AWS::{kind}", "Properties": properties} for name, (kind, properties) in resources.items()}
    return json.dumps({"Resources": made})


class Stacks(RegionCase):
    def test_a_pool_comes_with_its_hooks_and_goes_with_its_stack(self) -> None:
        formation = client("cloudformation")
        formation.create_stack(StackName="wharf", TemplateBody=_template(2), Capabilities=["CAPABILITY_IAM"])
        self.assertEqual(formation.describe_stacks(StackName="wharf")["Stacks"][0]["StackStatus"], "CREATE_COMPLETE")
        made = formation.describe_stack_resources(StackName="wharf")["StackResources"]
        ids = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in made}
        self.assertEqual(len(ids), 9)
        pool = ids["Pool"]
        self.until(lambda: self.states(pool), ["Pending:Wait"] * 2)
        found = self.scaling.describe_lifecycle_hooks(AutoScalingGroupName=pool)["LifecycleHooks"]
        self.assertEqual({hook["LifecycleHookName"] for hook in found}, {"up", "down"})
        self.assertEqual(self.described(pool)["InstanceMaintenancePolicy"]["MaxHealthyPercentage"], 110)
        told = self.messages(ids["Queue"])
        self.assertEqual({one["detail-type"] for one in told}, {"EC2 Instance-launch Lifecycle Action"})
        member = self.members(pool)[0]["InstanceId"]
        self.assertIn("IamInstanceProfile", self.instance(member))
        self.assertEqual(self.imds(member, "meta-data/iam/security-credentials/"), ids["Role"])
        formation.update_stack(StackName="wharf", TemplateBody=_template(3), Capabilities=["CAPABILITY_IAM"])
        self.until(lambda: len(self.members(pool)), 3)
        formation.delete_stack(StackName="wharf")
        self.assertEqual(
            self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[pool])["AutoScalingGroups"], []
        )
        self.assertEqual(self.state(member), "terminated")
