"""CloudFormation: the resources of Auto Scaling and SQS that moto's does not know, and what it leaves out of a group."""

from __future__ import annotations

import json
from typing import Any

from moto.autoscaling import models
from moto.core.common_models import CloudFormationModel
from moto.core.utils import camelcase_to_underscores
from moto.sqs.models import sqs_backends

from . import groups, hooks, scaling


def _numbers(properties: dict[str, Any], *names: str) -> dict[str, Any]:
    """Templates have numbers as texts as well."""
    return {name: int(value) if name in names else value for name, value in properties.items()}


class Hook(CloudFormationModel):
    def __init__(self, group: str, name: str):
        self.group, self.name = group, name

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @staticmethod
    def cloudformation_name_type() -> str:
        return "LifecycleHookName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::AutoScaling::LifecycleHook"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Hook:
        properties = _numbers(cloudformation_json["Properties"], "HeartbeatTimeout")
        backend, group = models.autoscaling_backends[account_id][region_name], properties["AutoScalingGroupName"]
        hooks.put(backend, group, {"LifecycleHookName": resource_name, **properties})
        return cls(group, properties.get("LifecycleHookName", resource_name))

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Hook:
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    def delete(self, account_id: str, region_name: str) -> None:
        models.autoscaling_backends[account_id][region_name].delete_lifecycle_hook(self.group, self.name)


class QueuePolicy(CloudFormationModel):
    """Stored with the queue; nobody is kept from sending by it."""

    def __init__(self, name: str):
        self.name = name

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> QueuePolicy:
        properties = cloudformation_json["Properties"]
        for url in properties["Queues"]:
            queue = sqs_backends[account_id][region_name].get_queue(url.rsplit("/", 1)[1])
            queue.policy = json.dumps(properties["PolicyDocument"])
        return cls(resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> QueuePolicy:
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    def delete(self, account_id: str, region_name: str) -> None:
        """It goes with its queue."""


def _create_group(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **more: Any
) -> Any:
    """With its hooks before the first launch, and all that a describe shows again."""
    properties = cloudformation_json["Properties"]
    backend = models.autoscaling_backends[account_id][region_name]
    for given in properties.get("LifecycleHookSpecificationList", []):
        hooks.put(backend, resource_name, _numbers(given, "HeartbeatTimeout"))
    group = _create_before(cls, resource_name, cloudformation_json, account_id, region_name, **more)
    for name in scaling.KEPT:
        if name in properties:
            setattr(group, camelcase_to_underscores(name), properties[name])
    groups.reconcile(group)
    return group


def _update_group(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    """In place, where moto makes another group."""
    properties = _numbers(cloudformation_json["Properties"], "MinSize", "MaxSize", "DesiredCapacity")
    group = original_resource
    group.min_size, group.max_size = properties["MinSize"], properties["MaxSize"]
    if "DesiredCapacity" in properties:
        group.desired_capacity = properties["DesiredCapacity"]
    group.desired_capacity = min(max(group.desired_capacity, group.min_size), group.max_size)
    group.mixed_instances_policy = properties.get("MixedInstancesPolicy")
    group._set_launch_configuration("", properties.get("LaunchTemplate"), group.mixed_instances_policy)
    for name in scaling.KEPT:
        setattr(group, camelcase_to_underscores(name), properties.get(name))
    groups.reconcile(group)
    return group


def _delete_group(group: Any, account_id: str, region_name: str) -> None:
    scaling.delete(models.autoscaling_backends[account_id][region_name], group)


_create_before: Any = None


def install() -> None:
    global _create_before
    _create_before = models.FakeAutoScalingGroup.create_from_cloudformation_json.__func__
    models.FakeAutoScalingGroup.create_from_cloudformation_json = classmethod(_create_group)
    models.FakeAutoScalingGroup.update_from_cloudformation_json = classmethod(_update_group)
    models.FakeAutoScalingGroup.delete = _delete_group
