"""Lifecycle hooks: who is told of an action, and that it waits."""

from __future__ import annotations

import json
import uuid
from typing import Any

from moto.autoscaling import models

from . import clock, events, queues
from .errors import invalid
from .members import Member, Wait

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

_TIMEOUT_S = (30, 7200)
_LIMIT = 50


def of(group: models.FakeAutoScalingGroup, transition: str) -> list[models.LifecycleHook]:
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
    return [hook for hook in hooks if hook.lifecycle_transition == transition]


def begin(group: models.FakeAutoScalingGroup, member: Member, transition: str, way: tuple[str, str]) -> bool:
    """Has every hook of this transition wait for its answer; says whether there is one. `way` is from where to where."""
    for hook in of(group, transition):
        wait = Wait(hook)
        member.waits[hook.name] = wait
        _tell(group, member, wait, way)
    return bool(member.waits)


def _tell(group: models.FakeAutoScalingGroup, member: Member, wait: Wait, way: tuple[str, str]) -> None:
    hook = wait.hook
    detail = {
        "LifecycleActionToken": wait.token,
        "AutoScalingGroupName": group.name,
        "LifecycleHookName": hook.name,
        "EC2InstanceId": member.instance.id,
        "LifecycleTransition": hook.lifecycle_transition,
        "Origin": way[0],
        "Destination": way[1],
    }
    if hook.notification_metadata:
        detail["NotificationMetadata"] = hook.notification_metadata
    kind = "launch" if hook.lifecycle_transition == LAUNCHING else "terminate"
    events.emit("aws.autoscaling", f"EC2 Instance-{kind} Lifecycle Action", [group.arn], detail)
    _notify(group, hook, detail)


def _notify(group: models.FakeAutoScalingGroup, hook: models.LifecycleHook, detail: dict[str, Any]) -> None:
    """To the target of the hook itself, if it has one."""
    from moto.sns import sns_backends

    arn = hook.notification_target_arn or ""
    body = {
        "Service": "AWS Auto Scaling",
        "Time": clock.precise(),
        "RequestId": str(uuid.uuid4()),
        "AccountId": group.account_id,
        **detail,
    }
    if ":sqs:" in arn:
        queues.send(arn.split(":")[-1], json.dumps(body))
    elif ":sns:" in arn:
        subject = f"Auto Scaling:  Lifecycle action '{hook.lifecycle_transition.split('_', 1)[-1]}'"
        topic = sns_backends[group.account_id][group.region].topics.get(arn)
        if topic:
            topic.publish(json.dumps(body), subject=subject)


def put(backend: models.AutoScalingBackend, group_name: str, given: dict[str, Any]) -> models.LifecycleHook:
    """Makes a hook, or changes what is given of one that is there."""
    name = given["LifecycleHookName"]
    was = backend.lifecycle_hooks.get(f"{group_name}_{name}")

    def kept(key: str, attribute: str, otherwise: Any) -> Any:
        value = given.get(key)
        return value if value is not None else getattr(was, attribute, otherwise)

    timeout = int(kept("HeartbeatTimeout", "heartbeat_timeout", 3600))
    transition = kept("LifecycleTransition", "lifecycle_transition", None)
    result = kept("DefaultResult", "default_result", "ABANDON")
    _check(backend, group_name, was, (timeout, transition, result))
    hook = models.LifecycleHook(name, group_name, transition, timeout, result)
    hook.lifecycle_hook_name = name
    hook.global_timeout = min(172_800, 100 * timeout)
    # An empty one takes the target away.
    hook.notification_target_arn = kept("NotificationTargetARN", "notification_target_arn", None) or None
    hook.role_arn = kept("RoleARN", "role_arn", None)
    hook.notification_metadata = kept("NotificationMetadata", "notification_metadata", None)
    backend.lifecycle_hooks[f"{group_name}_{name}"] = hook
    return hook


def _check(backend: Any, group_name: str, was: Any, values: tuple[int, str | None, str]) -> None:
    timeout, transition, result = values
    if not _TIMEOUT_S[0] <= timeout <= _TIMEOUT_S[1]:
        raise invalid(f"Heartbeat timeout must be between {_TIMEOUT_S[0]} and {_TIMEOUT_S[1]} seconds")
    if transition not in (LAUNCHING, TERMINATING):
        raise invalid(f"Invalid Lifecycle Transition: {transition}")
    if result not in ("CONTINUE", "ABANDON"):
        raise invalid(f"Invalid Default Result: {result}")
    if was is None and len(backend.describe_lifecycle_hooks(group_name)) >= _LIMIT:
        raise invalid(f"You may have up to {_LIMIT} lifecycle hooks for an Auto Scaling group")


def test_notification(group: models.FakeAutoScalingGroup, hook: models.LifecycleHook) -> None:
    """What a target is sent when it becomes one."""
    detail = {
        "Event": "autoscaling:TEST_NOTIFICATION",
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
    }
    _notify(group, hook, detail)
