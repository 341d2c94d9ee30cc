"""Instance refreshes, as far as they replace members: strategy Rolling."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.autoscaling import models

from . import clock, events
from .errors import Refused, invalid
from .members import Member

_ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")

# A refresh that gets nowhere for so long has failed.
_PATIENCE_S = 3600


@dataclass
class Refresh:
    group: models.FakeAutoScalingGroup
    preferences: dict[str, Any]
    desired_configuration: dict[str, Any] | None
    strategy: str
    instance_refresh_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    status_reason: str | None = None
    start_time: datetime = field(default_factory=clock.utcnow)
    end_time: datetime | None = None
    percentage_complete: int = 0
    instances_to_update: int = 0
    rollback_details: dict[str, Any] | None = None
    # Members that are still to be replaced, and how many there were.
    todo: set[str] = field(default_factory=set)
    total: int = 0
    checkpoints: list[int] = field(default_factory=list)
    paused_until: float = 0.0
    baked_at: float = 0.0
    moved_at: float = field(default_factory=clock.now)
    surges: bool = False

    @property
    def auto_scaling_group_name(self) -> str:
        return self.group.name

    def is_active(self) -> bool:
        return self.status in _ACTIVE

    def prefers(self, name: str, otherwise: Any = None) -> Any:
        value = self.preferences.get(name)
        return otherwise if value is None else value


def of(group: models.FakeAutoScalingGroup) -> list[Refresh]:
    """Every refresh of a group, the latest first."""
    return group.__dict__.setdefault("refreshes", [])


def active(group: models.FakeAutoScalingGroup) -> Refresh | None:
    return next((refresh for refresh in of(group)[:1] if refresh.is_active()), None)


def owns_the_count(group: models.FakeAutoScalingGroup) -> bool:
    """Whether a refresh has more members than are desired, for a while."""
    refresh = active(group)
    return refresh is not None and refresh.surges


def configuration(group: models.FakeAutoScalingGroup) -> dict[str, Any]:
    """What members are launched from at this moment."""
    refresh = active(group)
    if refresh and refresh.desired_configuration and refresh.status in ("Pending", "InProgress"):
        return refresh.desired_configuration
    if group.mixed_instances_policy:
        return {"MixedInstancesPolicy": group.mixed_instances_policy}
    if group.launch_template is None:
        raise invalid("this region launches from launch templates only")
    return {"LaunchTemplate": group.launch_template}


def start(group: models.FakeAutoScalingGroup, asked: dict[str, Any]) -> Refresh:
    from .launching import wanted

    if active(group):
        raise Refused("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks this one.")
    preferences, desired = dict(asked.get("Preferences") or {}), asked.get("DesiredConfiguration")
    _check(preferences, desired)
    refresh = Refresh(group, preferences, desired, asked.get("Strategy") or "Rolling")
    refresh.checkpoints = sorted(preferences.get("CheckpointPercentages") or [])
    of(group).insert(0, refresh)
    skips, target = preferences.get("SkipMatching"), wanted(group)
    members = [member for member in group.instance_states if member.lifecycle_state == "InService"]
    refresh.todo = {member.instance.id for member in members if not (skips and member.what() == target)}
    refresh.total = refresh.instances_to_update = len(refresh.todo)
    _emit(refresh, "Started")
    return refresh


def _check(preferences: dict[str, Any], desired: dict[str, Any] | None) -> None:
    version = str(((desired or {}).get("LaunchTemplate") or {}).get("Version", "1"))
    if preferences.get("AutoRollback") and (not desired or version.startswith("$")):
        raise invalid("AutoRollback requires a DesiredConfiguration with a numeric launch template version")
    ceiling, floor = preferences.get("MaxHealthyPercentage"), preferences.get("MinHealthyPercentage")
    if ceiling is not None and (floor is None or ceiling - floor > 100):
        raise invalid("MinHealthyPercentage must be given, at most 100 below MaxHealthyPercentage")


def needed(group: models.FakeAutoScalingGroup) -> Refresh:
    refresh = active(group)
    if refresh is None:
        raise Refused("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found.")
    return refresh


def cancel(group: models.FakeAutoScalingGroup) -> Refresh:
    refresh = needed(group)
    refresh.status = "Cancelling"
    return refresh


def roll_back(group: models.FakeAutoScalingGroup) -> Refresh:
    refresh = needed(group)
    if not refresh.desired_configuration:
        raise Refused("IrreversibleInstanceRefresh", "The desired configuration was not specified")
    _begin_rollback(refresh)
    return refresh


def _begin_rollback(refresh: Refresh) -> None:
    # What is not to be replaced any more was replaced already.
    done = {member.instance.id for member in refresh.group.active_instances()} - refresh.todo
    refresh.rollback_details = {
        "RollbackReason": refresh.status_reason or "The rollback was requested.",
        "RollbackStartTime": clock.utcnow(),
        "PercentageCompleteOnRollback": refresh.percentage_complete,
        "InstancesToUpdateOnRollback": refresh.instances_to_update,
    }
    refresh.status, refresh.todo, refresh.total = "RollbackInProgress", done, len(done)
    refresh.checkpoints, refresh.paused_until = [], 0.0
    _emit(refresh, "Rollback Started")


def step(group: models.FakeAutoScalingGroup) -> None:
    refresh = active(group)
    if refresh is None or "InstanceRefresh" in group._suspended_processes:
        return
    if refresh.status == "Baking":
        if clock.now() >= refresh.baked_at:
            _end(refresh, "Successful")
    elif refresh.status == "Cancelling":
        if all(member.lifecycle_state in ("InService", "Standby") for member in group.instance_states):
            _end(refresh, "Cancelled")
    elif clock.now() >= refresh.paused_until:
        refresh.status = "InProgress" if refresh.status == "Pending" else refresh.status
        _replace(refresh)


def _replace(refresh: Refresh) -> None:
    group = refresh.group
    members = group.active_instances()
    old = _old(refresh, members)
    if old is None:
        return
    healthy = [member for member in members if _is_healthy(refresh, member, old)]
    _count(refresh, members, old)
    if clock.now() - refresh.moved_at > _PATIENCE_S:
        _fail(refresh, "Timed out waiting for instances to become healthy.")
    elif _reaches_checkpoint(refresh, len(healthy)):
        return
    elif not old:
        if len(healthy) >= (group.desired_capacity or 0):
            _replaced(refresh)
    else:
        _exchange(refresh, members, old, healthy)


def _old(refresh: Refresh, members: list[Member]) -> list[Member] | None:
    """What is to be replaced; None while it has to wait for somebody to take a protection back."""
    old = [member for member in members if member.instance.id in refresh.todo]
    protected = [member for member in old if member.protected_from_scale_in]
    policy = refresh.prefers("ScaleInProtectedInstances", "Wait")
    if not protected or policy == "Refresh":
        return old
    rest = [member for member in old if member not in protected]
    if policy == "Wait" and not rest:
        refresh.status_reason = "Some instances are protected from scale in."
        if clock.now() - refresh.moved_at > _PATIENCE_S:
            _fail(refresh, refresh.status_reason)
        return None
    return rest


def _is_healthy(refresh: Refresh, member: Member, old: list[Member]) -> bool:
    warmup = 0 if member in old else refresh.prefers("InstanceWarmup", 0)
    is_serving = member.lifecycle_state == "InService" and member.health_status == "Healthy"
    return is_serving and clock.now() - member.since >= warmup


def _count(refresh: Refresh, members: list[Member], old: list[Member]) -> None:
    left = len(refresh.todo & {member.instance.id for member in members})
    percentage = int(100 * (refresh.total - left) / (refresh.total or 1))
    if percentage != refresh.percentage_complete:
        refresh.moved_at = clock.now()
    refresh.percentage_complete, refresh.instances_to_update = percentage, len(old)


def _reaches_checkpoint(refresh: Refresh, healthy: int) -> bool:
    for checkpoint in list(refresh.checkpoints):
        is_there = refresh.percentage_complete >= checkpoint
        if not is_there or healthy < (refresh.group.desired_capacity or 0):
            continue
        refresh.checkpoints.remove(checkpoint)
        if checkpoint < 100:
            delay = refresh.prefers("CheckpointDelay", 3600)
            refresh.paused_until = clock.now() + delay
            reached = str(refresh.percentage_complete)
            _emit(refresh, "Checkpoint Reached", CheckpointPercentage=reached, CheckpointDelay=str(delay))
            return True
    return False


def _exchange(refresh: Refresh, members: list[Member], old: list[Member], healthy: list[Member]) -> None:
    """Launches and ends as many as the two percentages allow."""
    from . import groups

    group, desired = refresh.group, refresh.group.desired_capacity or 0
    floor = math.ceil(desired * refresh.prefers("MinHealthyPercentage", 90) / 100)
    ceiling = max(desired, math.floor(desired * refresh.prefers("MaxHealthyPercentage", 100) / 100))
    if floor >= desired and ceiling == desired and refresh.prefers("MaxHealthyPercentage") is not None:
        # Neither bound can be kept: launch first.
        ceiling = desired + 1
    refresh.surges = ceiling > desired
    room = min(ceiling - len(members), len(old) + desired - len(members))
    for _ in range(max(0, room) if "Launch" not in group._suspended_processes else 0):
        groups.launch(group)
    # Without room for another at least one goes at a time.
    floor = floor if refresh.surges else min(floor, desired - 1)
    serving = len(healthy)
    for member in sorted(old, key=lambda member: member.instance.launch_time):
        serving -= member in healthy
        if serving < floor or "Terminate" in group._suspended_processes:
            break
        groups.begin_termination(group, member)
    if not refresh.surges:
        groups.reconcile(group)


def _replaced(refresh: Refresh) -> None:
    refresh.surges = False
    if refresh.status == "RollbackInProgress":
        return _end(refresh, "RollbackSuccessful")
    if refresh.desired_configuration:
        _adopt(refresh.group, refresh.desired_configuration)
    if refresh.preferences.get("BakeTime"):
        refresh.status, refresh.baked_at = "Baking", clock.now() + refresh.preferences["BakeTime"]
        return None
    return _end(refresh, "Successful")


def _adopt(group: models.FakeAutoScalingGroup, desired: dict[str, Any]) -> None:
    group.mixed_instances_policy = desired.get("MixedInstancesPolicy")
    group._set_launch_configuration("", desired.get("LaunchTemplate"), group.mixed_instances_policy)


def _fail(refresh: Refresh, why: str) -> None:
    refresh.status_reason, refresh.moved_at = why, clock.now()
    if refresh.preferences.get("AutoRollback") and refresh.status != "RollbackInProgress":
        _begin_rollback(refresh)
    else:
        _end(refresh, "RollbackFailed" if refresh.status == "RollbackInProgress" else "Failed")


def _end(refresh: Refresh, status: str) -> None:
    refresh.status, refresh.end_time, refresh.surges = status, clock.utcnow(), False
    if status == "Successful":
        refresh.percentage_complete, refresh.instances_to_update = 100, 0
    named = {"Successful": "Succeeded", "RollbackSuccessful": "Rollback Succeeded", "RollbackFailed": "Rollback Failed"}
    _emit(refresh, named.get(status, status))


def _emit(refresh: Refresh, what: str, **more: Any) -> None:
    group = refresh.group
    detail = {"InstanceRefreshId": refresh.instance_refresh_id, "AutoScalingGroupName": group.name, **more}
    events.emit("aws.autoscaling", f"EC2 Auto Scaling Instance Refresh {what}", [group.arn], detail)
