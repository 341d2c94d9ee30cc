"""Warm pools: instances that were prepared beside a group, as far as Wharf has to recognise them."""

from __future__ import annotations

from typing import Any

from moto.autoscaling import models

from . import hooks, launching
from .members import Member
from .members import warm as members


def target(group: models.FakeAutoScalingGroup) -> int:
    """How many the pool shall have."""
    pool = group.warm_pool
    if pool is None or getattr(pool, "status", None):
        return 0
    ceiling = pool.max_group_prepared_capacity
    ceiling = group.max_size if ceiling in (None, -1) else int(ceiling)
    return max(int(pool.min_size or 0), ceiling - (group.desired_capacity or 0), 0)


def reconcile(group: models.FakeAutoScalingGroup) -> None:
    from . import groups

    pool = [member for member in members(group) if not member.is_ending()]
    for member in pool[target(group) :]:
        groups.begin_termination(group, member)
    for _ in range(target(group) - len(pool)):
        member, failures = launching.attempt(group)
        if member is None:
            return
        member.warm = True
        member.enter("Warmed:Pending")
        members(group).append(member)
    if group.warm_pool and getattr(group.warm_pool, "status", None) and not members(group):
        group.warm_pool = None


def advance(group: models.FakeAutoScalingGroup, member: Member) -> None:
    """Prepares one, and puts it to rest as the pool says."""
    if member.lifecycle_state == "Warmed:Pending" and member.instance.state == "running":
        waits = hooks.begin(group, member, hooks.LAUNCHING, ("EC2", "WarmPool"))
        member.enter("Warmed:Pending:Wait" if waits else "Warmed:Pending:Proceed")
    if member.lifecycle_state in ("Warmed:Pending:Wait", "Warmed:Pending:Proceed") and not member.waits:
        rests = group.warm_pool.pool_state if group.warm_pool else "Stopped"
        if rests != "Running":
            member.instance.stop()
        member.enter(f"Warmed:{rests}")


def taken(group: models.FakeAutoScalingGroup) -> Member | None:
    """A member that is ready to go into the group, started and out of the pool."""
    for member in members(group):
        rests = member.lifecycle_state in ("Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated")
        if rests and member.instance.state != "stopping":
            members(group).remove(member)
            member.warm, member.was_warm = False, True
            if member.instance.state != "running":
                member.instance.start()
            group.instance_states.append(member)
            return member
    return None


def dissolve(group: models.FakeAutoScalingGroup, now: bool) -> None:
    """Has the whole pool go; `now` without asking its hooks."""
    if group.warm_pool is None:
        return
    group.warm_pool.status = "PendingDelete"
    if now:
        for member in members(group):
            member.instance.terminate()
        members(group).clear()
    reconcile(group)


def shown(group: models.FakeAutoScalingGroup) -> dict[str, Any]:
    return {"WarmPoolConfiguration": group.warm_pool, "Instances": list(members(group))}
