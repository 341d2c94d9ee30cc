"""What becomes of the members of a group, and how many it has."""

from __future__ import annotations

import uuid
from typing import Any

from moto.autoscaling import models

from . import balancers, clock, events, hooks, launching, refreshes, warm
from .errors import invalid
from .members import Member, of
from .world import SETTINGS

# A large group is launched in the course of some ticks, between which others have their turn.
_LAUNCHES_AT_ONCE = 10

# Activities that are remembered of a group.
_ACTIVITIES = 100


def activity(
    group: models.FakeAutoScalingGroup, description: str, status: str = "InProgress", why: str = ""
) -> dict[str, Any]:
    made = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": description,
        "Cause": f"At {clock.stamp()} the state of the group called for this.",
        "StartTime": clock.utcnow(),
        "StatusCode": status,
        "StatusMessage": why or None,
        "Progress": 100 if status in ("Failed", "Cancelled") else 50,
        "Details": "{}",
    }
    made["EndTime"] = clock.utcnow() if made["Progress"] == 100 else None
    activities = group.__dict__.setdefault("activities", [])
    activities.insert(0, made)
    del activities[_ACTIVITIES:]
    return made


def _finished(done: dict[str, Any] | None, status: str = "Successful") -> None:
    if done:
        done.update(StatusCode=status, Progress=100, EndTime=clock.utcnow())


def _emit(group: models.FakeAutoScalingGroup, what: str, **detail: Any) -> None:
    events.emit("aws.autoscaling", what, [group.arn], {"AutoScalingGroupName": group.name, **detail})


# Launching


def launch(group: models.FakeAutoScalingGroup, where: Any = None) -> tuple[Member | None, list[launching.Failure]]:
    """Adds a member, from the warm pool if it has one."""
    member = None if where else warm.taken(group)
    if member:
        member.enter("Pending")
        member.activity = activity(group, f"Launching a new EC2 instance from warm pool: {member.instance.id}")
        step(group)
        return member, []
    member, failures = launching.attempt(group, where)
    if member:
        group.instance_states.append(member)
        member.activity = activity(group, f"Launching a new EC2 instance: {member.instance.id}")
        step(group)
    elif failures:
        _failed(group, failures[-1])
    return member, failures


def _failed(group: models.FakeAutoScalingGroup, failure: launching.Failure) -> None:
    why = f"{failure.message} Launching EC2 instance failed."
    activity(group, f"Launching a new EC2 instance.  Status Reason: {why}", "Failed", why)
    _emit(group, "EC2 Instance Launch Unsuccessful", StatusCode="Failed", StatusMessage=why, EC2InstanceId="")
    group.launch_not_before = clock.now() + SETTINGS.retry_s


def _goes_into_service(group: models.FakeAutoScalingGroup, member: Member) -> None:
    member.enter("InService")
    _finished(member.activity)
    balancers.join(group, member.instance)
    _emit(group, "EC2 Instance Launch Successful", EC2InstanceId=member.instance.id, StatusCode="InProgress")


# Terminating


def begin_termination(group: models.FakeAutoScalingGroup, member: Member) -> None:
    """Has a member go, by way of the hooks; who was retained goes at once."""
    if member.is_ending():
        if member.lifecycle_state == "Terminating:Retained":
            member.enter("Terminating:Proceed")
            step(group)
        return
    member.waits.clear()
    _finished(member.activity, "Cancelled" if member.lifecycle_state.startswith("Pending") else "Successful")
    member.enter("Warmed:Terminating" if member.warm else "Terminating")
    member.activity = activity(group, f"Terminating EC2 instance: {member.instance.id}")
    balancers.leave(group, member.instance)
    origin = "WarmPool" if member.warm else "AutoScalingGroup"
    if hooks.begin(group, member, hooks.TERMINATING, (origin, "EC2")):
        member.enter(f"{member.lifecycle_state}:Wait")
    step(group)


def _ends(group: models.FakeAutoScalingGroup, member: Member) -> None:
    if member.instance.state not in ("shutting-down", "terminated"):
        member.instance.terminate()
    if member.instance.state != "terminated":
        return
    for members in (group.instance_states, group.__dict__.get("warm_members", [])):
        if member in members:
            members.remove(member)
    _finished(member.activity)
    _emit(group, "EC2 Instance Terminate Successful", EC2InstanceId=member.instance.id, StatusCode="InProgress")


# Hooks


def complete(group: models.FakeAutoScalingGroup, member: Member, hook: str, result: str) -> None:
    """Answers a lifecycle action; `result` is CONTINUE or ABANDON."""
    wait = member.waits.pop(hook)
    if result != "ABANDON":
        return
    # The others are not waited for any more.
    member.waits.clear()
    if wait.hook.lifecycle_transition == hooks.TERMINATING:
        if _retains(group):
            member.enter("Terminating:Retained")
        return
    activity(group, f"Launch of {member.instance.id} was abandoned by {hook}", "Cancelled")
    begin_termination(group, member)


def _retains(group: models.FakeAutoScalingGroup) -> bool:
    policy = getattr(group, "instance_lifecycle_policy", None) or {}
    return (policy.get("RetentionTriggers") or {}).get("TerminateHookAbandon") == "retain"


# Stepping


def step(group: models.FakeAutoScalingGroup) -> None:
    """Takes every member as far as it can go."""
    for member in of(group):
        for hook, wait in list(member.waits.items()):
            if wait.is_over() and hook in member.waits:
                complete(group, member, hook, wait.hook.default_result)
        _advance(group, member)


def _advance(group: models.FakeAutoScalingGroup, member: Member) -> None:
    state = member.lifecycle_state
    if member.is_ending():
        if state != "Terminating:Retained" and not member.waits:
            _ends(group, member)
    elif member.warm:
        warm.advance(group, member)
    elif member.is_counted() and (member.is_gone() or member.health_status == "Unhealthy"):
        member.health_status = "Unhealthy"
        if "ReplaceUnhealthy" not in group._suspended_processes:
            begin_termination(group, member)
    elif state == "Pending" and member.instance.state == "running":
        origin = "WarmPool" if member.__dict__.pop("was_warm", False) else "EC2"
        waits = hooks.begin(group, member, hooks.LAUNCHING, (origin, "AutoScalingGroup"))
        member.enter("Pending:Wait" if waits else "Pending:Proceed")
        _advance(group, member)
    elif state in ("Pending:Wait", "Pending:Proceed") and not member.waits:
        _goes_into_service(group, member)


def reconcile(group: models.FakeAutoScalingGroup) -> None:
    """Launches what is missing and has go what is too many."""
    if refreshes.owns_the_count(group):
        return
    missing = (group.desired_capacity or 0) - sum(member.units for member in group.active_instances())
    if missing > 0:
        _grow(group, missing)
    elif missing < 0 and "Terminate" not in group._suspended_processes:
        _shrink(group, -missing)
    warm.reconcile(group)


def _grow(group: models.FakeAutoScalingGroup, missing: int) -> None:
    for _ in range(_LAUNCHES_AT_ONCE):
        is_held = "Launch" in group._suspended_processes or clock.now() < getattr(group, "launch_not_before", 0)
        if missing <= 0 or is_held:
            return
        member, _ = launch(group)
        if member is None:
            return
        missing -= member.units


def _shrink(group: models.FakeAutoScalingGroup, surplus: int) -> None:
    """From the fullest zone, what was launched from an older template first, then the oldest."""
    current = launching.wanted(group) if group.ec2_launch_template else None
    while surplus > 0:
        active = group.active_instances()
        zones = [member.instance.placement.zone for member in active]
        candidates = [member for member in active if not member.protected_from_scale_in and member.units <= surplus]
        if not candidates:
            return
        victim = min(
            candidates,
            key=lambda member: (
                -zones.count(member.instance.placement.zone),
                member.what() == current,
                member.instance.launch_time,
            ),
        )
        surplus -= victim.units
        begin_termination(group, victim)


def set_desired(group: models.FakeAutoScalingGroup, capacity: int | None) -> None:
    """In place of moto's, which neither checks nor takes hooks into account."""
    capacity = group.min_size if capacity is None else capacity
    named = f"for the AutoScalingGroup {group.name}"
    is_known = group.name in group.autoscaling_backend.autoscaling_groups
    if group.max_size is not None and capacity > group.max_size:
        raise invalid(f"New SetDesiredCapacity value {capacity} is above max value {group.max_size} {named}.")
    if is_known and group.min_size is not None and capacity < group.min_size:
        raise invalid(f"New SetDesiredCapacity value {capacity} is below min value {group.min_size} {named}.")
    group.desired_capacity = capacity
    # Before a group is known its hooks and tags are not there yet; whoever creates it reconciles.
    if is_known:
        reconcile(group)


def tick() -> None:
    """What time alone changes, in every group."""
    for _, _, backend in list(models.autoscaling_backends.iter_backends()):
        for group in list(backend.autoscaling_groups.values()):
            step(group)
            refreshes.step(group)
            reconcile(group)


def install() -> None:
    models.FakeAutoScalingGroup.set_desired_capacity = set_desired
    # What moto keeps up to date by itself, members do when they come and go.
    models.AutoScalingBackend.update_attached_target_groups = lambda backend, name: None
    models.AutoScalingBackend.notify_terminate_instances = lambda backend, ids: [
        step(group) for group in list(backend.autoscaling_groups.values())
    ]
