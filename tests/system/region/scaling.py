"""The actions of Auto Scaling that moto lacks or has otherwise."""

from __future__ import annotations

import copy
from typing import Any

from moto.autoscaling import models
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores

from . import balancers, calls, groups, hooks, lag, launching, members, refreshes, warm
from .errors import Refused, invalid, no_instance
from .members import Member, Wait

# Properties of a group that moto forgets, and that a describe shows again.
KEPT = (
    "AvailabilityZoneDistribution",
    "CapacityRebalance",
    "Context",
    "DefaultCooldown",
    "DefaultInstanceWarmup",
    "DesiredCapacityType",
    "InstanceLifecyclePolicy",
    "InstanceMaintenancePolicy",
    "MaxInstanceLifetime",
    "TerminationPolicies",
)

# What one call may name.
_STANDBY_LIMIT, _PROTECTION_LIMIT, _TERMINATION_LIMIT, _LAUNCH_LIMIT = 20, 50, 100, 100

# Launches that were asked for with a token: what was asked, and what was answered.
_LAUNCHES: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}


class _Actions:
    """Put onto moto's response class, one function for each action."""

    def create_auto_scaling_group(self) -> ActionResult:
        backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
        if name in backend.autoscaling_groups:
            raise Refused("AlreadyExists", f"AutoScalingGroup by this name already exists - {name}")
        # They have to be there before the first launch.
        for given in self._get_param("LifecycleHookSpecificationList", []):
            hooks.put(backend, name, given)
        _before["create_auto_scaling_group"](self)
        group = backend.autoscaling_groups[name]
        _keep(self, group)
        groups.reconcile(group)
        return EmptyResult()

    def update_auto_scaling_group(self) -> ActionResult:
        group = _group(self)
        _before["update_auto_scaling_group"](self)
        _keep(self, group)
        for bound, is_out in (
            ("max", group.desired_capacity > group.max_size),
            ("min", group.desired_capacity < group.min_size),
        ):
            if is_out:
                group.desired_capacity = getattr(group, f"{bound}_size")
        groups.reconcile(group)
        return EmptyResult()

    def delete_auto_scaling_group(self) -> ActionResult:
        group, backend = _group(self), self.autoscaling_backend
        present = members.of(group)
        if present and not self._get_bool_param("ForceDelete", False):
            raise Refused(
                "ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances still in the group."
            )
        delete(backend, group)
        return EmptyResult()

    def put_lifecycle_hook(self) -> ActionResult:
        group = _group(self)
        hook = hooks.put(self.autoscaling_backend, group.name, dict(self.params))
        if self._get_param("NotificationTargetARN"):
            hooks.test_notification(group, hook)
        return EmptyResult()

    def delete_lifecycle_hook(self) -> ActionResult:
        group, name = _group(self), self._get_param("LifecycleHookName")
        if f"{group.name}_{name}" not in self.autoscaling_backend.lifecycle_hooks:
            raise invalid(f"No Lifecycle Hook found with name '{name}'")
        self.autoscaling_backend.delete_lifecycle_hook(group.name, name)
        for member in members.of(group):
            # Nothing waits for a hook that is gone.
            member.waits.pop(name, None)
        groups.step(group)
        return EmptyResult()

    def complete_lifecycle_action(self) -> ActionResult:
        group, member, _ = _action(self)
        result = self._get_param("LifecycleActionResult")
        if result not in ("CONTINUE", "ABANDON"):
            raise invalid(f"Invalid Lifecycle Action Result: {result}")
        groups.complete(group, member, self._get_param("LifecycleHookName"), result)
        groups.step(group)
        groups.reconcile(group)
        return EmptyResult()

    def record_lifecycle_action_heartbeat(self) -> ActionResult:
        _action(self)[2].beat()
        return EmptyResult()

    def describe_scaling_activities(self) -> ActionResult:
        name, ids = self._get_param("AutoScalingGroupName"), self._get_param("ActivityIds", [])
        chosen = [_group(self)] if name else self.autoscaling_backend.autoscaling_groups.values()
        found = [one for group in chosen for one in group.__dict__.get("activities", [])]
        found = [one for one in found if not ids or one["ActivityId"] in ids]
        return ActionResult({"Activities": found[: self._get_int_param("MaxRecords", 100)]})

    def describe_auto_scaling_groups(self) -> ActionResult:
        with lag.seen("DescribeAutoScalingGroups"):
            return _before["describe_auto_scaling_groups"](self)

    def describe_auto_scaling_instances(self) -> ActionResult:
        with lag.seen("DescribeAutoScalingInstances"):
            return _described(self)

    def set_instance_health(self) -> ActionResult:
        member, status = _member(self, self._get_param("InstanceId")), self._get_param("HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise invalid(f"Invalid health status: {status}")
        member.health_status = status
        groups.step(member.auto_scaling_group)
        groups.reconcile(member.auto_scaling_group)
        return EmptyResult()

    def set_instance_protection(self) -> ActionResult:
        group, ids = _group(self), self._get_param("InstanceIds", [])
        _limit(ids, _PROTECTION_LIMIT)
        known = {member.instance.id for member in group.instance_states}
        if unknown := [one for one in ids if one not in known]:
            raise invalid(f"The instance {unknown[0]} is not part of Auto Scaling group {group.name}.")
        return _before["set_instance_protection"](self)

    def enter_standby(self) -> ActionResult:
        group, ids = _group(self), self._get_param("InstanceIds", [])
        _limit(ids, _STANDBY_LIMIT)
        for member in _members_in(group, ids, "InService"):
            balancers.leave(group, member.instance)
        return _before["enter_standby"](self)

    def exit_standby(self) -> ActionResult:
        group, ids = _group(self), self._get_param("InstanceIds", [])
        for member in _members_in(group, ids, "Standby"):
            balancers.join(group, member.instance)
        return _before["exit_standby"](self)

    def terminate_instance_in_auto_scaling_group(self) -> ActionResult:
        several = self._get_param("InstanceIds", [])
        ids = several or [self._get_param("InstanceId")]
        _limit(ids, _TERMINATION_LIMIT)
        found = [_member(self, one) for one in ids]
        decrements = self._get_bool_param("ShouldDecrementDesiredCapacity", False)
        done = [_terminate(member, decrements) for member in found]
        return ActionResult({"Activities": done} if several else {"Activity": done[0]})

    def launch_instances(self) -> ActionResult:
        group, token = _group(self), self._get_param("ClientToken")
        asked = copy.deepcopy(dict(self.params))
        if token and (group.arn, token) in _LAUNCHES:
            before, answer = _LAUNCHES[group.arn, token]
            if before != asked:
                raise Refused("IdempotentParameterMismatch", "The token was used with other parameters.")
            return ActionResult(answer)
        answer = _launch(self, group)
        if token:
            _LAUNCHES[group.arn, token] = (asked, answer)
        return ActionResult(answer)

    def put_warm_pool(self) -> ActionResult:
        group = _group(self)
        if group.mixed_instances_policy:
            raise invalid("You can't add a warm pool to an Auto Scaling group that has a mixed instances policy.")
        if refreshes.active(group):
            raise Refused("InstanceRefreshInProgress", "The group has an active instance refresh.")
        _before["put_warm_pool"](self)
        groups.reconcile(group)
        return EmptyResult()

    def describe_warm_pool(self) -> ActionResult:
        return ActionResult(warm.shown(_group(self)))

    def delete_warm_pool(self) -> ActionResult:
        warm.dissolve(_group(self), self._get_bool_param("ForceDelete", False))
        return EmptyResult()

    def start_instance_refresh(self) -> ActionResult:
        return _refreshed(refreshes.start(_group(self), dict(self.params)))

    def describe_instance_refreshes(self) -> ActionResult:
        ids = self._get_param("InstanceRefreshIds", [])
        found = [one for one in refreshes.of(_group(self)) if not ids or one.instance_refresh_id in ids]
        return ActionResult({"InstanceRefreshes": found})

    def cancel_instance_refresh(self) -> ActionResult:
        return _refreshed(refreshes.cancel(_group(self)))

    def rollback_instance_refresh(self) -> ActionResult:
        return _refreshed(refreshes.roll_back(_group(self)))

    def describe_account_limits(self) -> ActionResult:
        count = len(self.autoscaling_backend.autoscaling_groups)
        limits = {"MaxNumberOfAutoScalingGroups": 500, "MaxNumberOfLaunchConfigurations": 200}
        return ActionResult({**limits, "NumberOfAutoScalingGroups": count, "NumberOfLaunchConfigurations": 0})


def _described(response: AutoScalingResponse) -> ActionResult:
    ids = response._get_param("InstanceIds", [])
    everybody = [
        member for group in response.autoscaling_backend.autoscaling_groups.values() for member in members.of(group)
    ]
    found = [member for member in everybody if not ids or member.instance.id in ids]
    start = int(response._get_param("NextToken") or 0)
    end = start + response._get_int_param("MaxRecords", 50)
    following = str(end) if end < len(found) else None
    return ActionResult({"AutoScalingInstances": found[start:end], "NextToken": following})


def delete(backend: models.AutoScalingBackend, group: models.FakeAutoScalingGroup) -> None:
    """With all of its members, and without asking their hooks."""
    for member in members.of(group):
        balancers.leave(group, member.instance)
        member.instance.terminate()
    for hook in backend.describe_lifecycle_hooks(group.name):
        backend.delete_lifecycle_hook(group.name, hook.name)
    del backend.autoscaling_groups[group.name]


def _group(response: AutoScalingResponse) -> models.FakeAutoScalingGroup:
    return response.autoscaling_backend.autoscaling_groups[response._get_param("AutoScalingGroupName")]


def _member(response: AutoScalingResponse, instance_id: str) -> Member:
    member = members.find(response.autoscaling_backend, instance_id)
    if member is None:
        raise no_instance(instance_id)
    return member


def _members_in(group: models.FakeAutoScalingGroup, ids: list[str], state: str) -> list[Member]:
    """Those members; the call fails as a whole when one of them is in another state."""
    known = {member.instance.id: member for member in group.instance_states}
    for one in ids:
        if one not in known or known[one].lifecycle_state != state:
            raise invalid(f"The instance {one} is not in {state}.")
    return [known[one] for one in ids]


def _limit(ids: list[str], limit: int) -> None:
    if len(ids) > limit:
        raise invalid(f"The number of instance ids must not exceed {limit}")


def _keep(response: AutoScalingResponse, group: models.FakeAutoScalingGroup) -> None:
    for name in KEPT:
        value = response._get_param(name)
        if value is not None:
            setattr(group, camelcase_to_underscores(name), value)


def _action(response: AutoScalingResponse) -> tuple[models.FakeAutoScalingGroup, Member, Wait]:
    """The lifecycle action that is named by its token, or by the instance."""
    group, hook = _group(response), response._get_param("LifecycleHookName")
    token, instance_id = response._get_param("LifecycleActionToken"), response._get_param("InstanceId")
    for member in members.of(group):
        wait = member.waits.get(hook)
        if wait and (wait.token == token if token else member.instance.id == instance_id):
            return group, member, wait
    named = f"instance ID {instance_id}" if instance_id else f"token {token}"
    raise invalid(f"No active Lifecycle Action found with {named}")


def _terminate(member: Member, decrements: bool) -> dict[str, Any]:
    group = member.auto_scaling_group
    if member.warm:
        raise invalid(f"The instance {member.instance.id} is in the warm pool.")
    if decrements and member.is_counted():
        if group.desired_capacity - member.units < group.min_size:
            raise invalid(
                "Currently, desiredSize equals minSize. Terminating instance without replacement will "
                "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false "
                "or lower group's min size."
            )
        group.desired_capacity -= member.units
    groups.begin_termination(group, member)
    groups.reconcile(group)
    return member.activity or group.activities[0]


def _launch(response: AutoScalingResponse, group: models.FakeAutoScalingGroup) -> dict[str, Any]:
    """Launches in one place at once. What was launched counts as desired; what was not only if it is to be tried again."""
    where = _place(response, group)
    asked = response._get_int_param("RequestedCapacity")
    if not 0 < asked <= _LAUNCH_LIMIT or group.desired_capacity + asked > group.max_size:
        raise invalid(f"The requested capacity of {asked} does not fit the group's maximum of {group.max_size}.")
    launched: list[Member] = []
    failures: list[launching.Failure] = []
    while sum(member.units for member in launched) < asked and not failures:
        member, failures = groups.launch(group, [where])
        if member:
            launched.append(member)
            group.desired_capacity += member.units
    missing = asked - sum(member.units for member in launched)
    if failures and response._get_param("RetryStrategy") == "retry-with-group-configuration":
        group.desired_capacity += missing
    return {
        "AutoScalingGroupName": group.name,
        "ClientToken": response._get_param("ClientToken"),
        "Instances": _collections(launched),
        "Errors": [_error(failure) for failure in failures],
    }


def _place(response: AutoScalingResponse, group: models.FakeAutoScalingGroup) -> tuple[str, str | None]:
    zones, subnets = response._get_param("AvailabilityZones", []), response._get_param("SubnetIds", [])
    found = [
        place
        for place in launching.places(group)
        if (not zones or place[0] in zones) and (not subnets or place[1] in subnets)
    ]
    if not found or (len(found) > 1 and not zones and not subnets):
        raise invalid("Either AvailabilityZones or SubnetIds of the group must be specified.")
    return found[0]


def _collections(launched: list[Member]) -> list[dict[str, Any]]:
    if not launched:
        return []
    instance = launched[0].instance
    return [
        {
            "InstanceType": instance.instance_type,
            "MarketType": instance.lifecycle or launching.ON_DEMAND,
            "SubnetId": instance.subnet_id,
            "AvailabilityZone": instance.placement.zone,
            "InstanceIds": [member.instance.id for member in launched],
        }
    ]


def _error(failure: launching.Failure) -> dict[str, Any]:
    return {
        "InstanceType": failure.type,
        "MarketType": failure.market,
        "SubnetId": failure.subnet,
        "AvailabilityZone": failure.zone,
        "ErrorCode": failure.code,
        "ErrorMessage": failure.message,
    }


def _refreshed(refresh: refreshes.Refresh) -> ActionResult:
    return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})


def _update(group: models.FakeAutoScalingGroup, *given: Any, **more: Any) -> None:
    """moto takes a policy away that an update does not mention."""
    says_nothing = not (
        more.get("mixed_instances_policy") or more.get("launch_template") or more.get("launch_config_name")
    )
    if says_nothing and group.mixed_instances_policy:
        policy = copy.deepcopy(group.mixed_instances_policy)
        # A describe shows id and name of a template; a request may give one of them.
        policy["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
        more["mixed_instances_policy"] = policy
    # The action sets it, within the new bounds.
    desired = more.pop("desired_capacity", None)
    _update_before(group, *given, desired_capacity=None, **more)
    if desired is not None:
        group.desired_capacity = _checked(group, desired)


def _checked(group: models.FakeAutoScalingGroup, desired: int) -> int:
    if not group.min_size <= desired <= group.max_size:
        raise invalid(
            f"Desired capacity:{desired} must be between the specified min size:{group.min_size} and max size:{group.max_size}"
        )
    return desired


_before: dict[str, Any] = {}
_update_before: Any = None


def install() -> None:
    global _update_before
    members.install()
    groups.install()
    _before.update(calls.replace(AutoScalingResponse, _Actions))
    _update_before = models.FakeAutoScalingGroup.update
    models.FakeAutoScalingGroup.update = _update
