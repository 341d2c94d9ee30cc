"""Target groups: several ports of one instance, targets that drain, health that a test decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moto.elbv2 import models
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup

from . import clock
from .errors import Refused
from .world import ACCOUNT, SETTINGS

_REASONS = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "unused": ("Target.NotRegistered", "Target is not registered to the target group"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
}


@dataclass
class Target:
    id: str
    port: int
    registered_at: float = field(default_factory=clock.now)
    # Until when it drains, once it is not registered any more.
    drains_until: float | None = None
    # What a test has decided: a state and why.
    decided: tuple[str, str | None] | None = None
    # What checks have found, where targets are checked: so many good ones in a row, or bad ones when it is below zero.
    streak: int | None = None
    found: str = "initial"

    def state(self) -> str:
        if self.drains_until is not None:
            return "draining"
        if self.decided:
            return self.decided[0]
        if self.streak is not None:
            return self.found
        is_new = clock.now() - self.registered_at < SETTINGS.target_initial_s
        return "initial" if is_new else "healthy"


    def checked(self, is_good: bool, enough: int) -> None:
        """Takes in one check; `enough` of a kind in a row are believed."""
        before = self.streak or 0
        self.streak = max(before, 0) + 1 if is_good else min(before, 0) - 1
        if abs(self.streak) >= enough:
            self.found = "healthy" if is_good else "unhealthy"


def _backend() -> models.ELBv2Backend:
    return models.elbv2_backends[ACCOUNT][SETTINGS.region]


def _all(group: FakeTargetGroup) -> dict[tuple[str, int], Target]:
    """Who is registered or drains."""
    found = group.__dict__.setdefault("known_targets", {})
    for key, target in list(found.items()):
        if target.drains_until is not None and clock.now() >= target.drains_until:
            del found[key]
    return found


def find(name: str) -> FakeTargetGroup | None:
    """A group by its name or ARN."""
    groups = _backend().target_groups.values()
    return next((group for group in groups if name in (group.name, group.arn)), None)


def targets_of(group: FakeTargetGroup) -> list[Target]:
    """Who is registered."""
    return [target for target in _all(group).values() if target.drains_until is None]


def are_checked(group: FakeTargetGroup) -> None:
    """From now on targets are as healthy as checks find them."""
    group.__dict__["is_checked"] = True
    for target in targets_of(group):
        target.streak = 0


def _port(group: FakeTargetGroup, given: dict[str, Any]) -> int:
    return int(given.get("Port") or group.port)


def _register(group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    for given in targets:
        instance = group.ec2_backend.get_instance_by_id(given["Id"])
        if given["Id"].startswith("i-") and (instance is None or instance.state != "running"):
            raise Refused(
                "InvalidTarget",
                f"The following targets are not in a running state and cannot be registered: '{given['Id']}'",
            )
        target = Target(given["Id"], _port(group, given))
        known = _all(group).get((target.id, target.port))
        # Who is in already stays as it is.
        if known is None or known.drains_until is not None:
            target.streak = 0 if group.__dict__.get("is_checked") else None
            _all(group)[target.id, target.port] = target
        group.targets[f"{target.id}:{target.port}"] = {"Id": target.id, "Port": target.port}


def _deregister(group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    """Who is not registered is not missed; without a port all ports of the target go."""
    for given in targets:
        for target in list(_all(group).values()):
            if target.id == given["Id"] and int(given.get("Port") or target.port) == target.port:
                _drain(group, target)


def _drain(group: FakeTargetGroup, target: Target) -> None:
    if target.drains_until is None:
        delay = float(group.attributes["deregistration_delay.timeout_seconds"])
        target.drains_until = clock.now() + delay
        group.targets.pop(f"{target.id}:{target.port}", None)


def _health(group: FakeTargetGroup, target_id: str, port: int, target: Target | None) -> FakeHealthStatus:
    state = target.state() if target else "unused"
    reason, description = _REASONS.get(state, (None, None))
    if target and target.decided and target.decided[1]:
        reason = target.decided[1]
    return FakeHealthStatus(target_id, str(port), group.health_check_port, state, reason, description)


def _describe(backend: Any, target_group_arn: str, targets: list[dict[str, Any]]) -> list[FakeHealthStatus]:
    group = backend.target_groups.get(target_group_arn)
    if group is None:
        raise models.TargetGroupNotFoundError()
    known = _all(group)
    asked = [(given["Id"], _port(group, given)) for given in targets] or list(known)
    return [_health(group, target_id, port, known.get((target_id, port))) for target_id, port in asked]


def _attached(group: Any) -> list[FakeTargetGroup]:
    found = (_backend().target_groups.get(arn) for arn in group.target_group_arns or [])
    return [one for one in found if one is not None]


def join(group: Any, instance: Any) -> None:
    """A member of an Auto Scaling group goes into service."""
    if "AddToLoadBalancer" not in group._suspended_processes and instance.state == "running":
        for target_group in _attached(group):
            _register(target_group, [{"Id": instance.id}])


def leave(group: Any, instance: Any) -> None:
    """A member goes out of service."""
    for target_group in _attached(group):
        _deregister(target_group, [{"Id": instance.id}])


def forget(instance_id: str) -> None:
    """An instance is gone: what it was registered for drains nothing any more, but is still shown for a while."""
    for target_group in _backend().target_groups.values():
        _deregister(target_group, [{"Id": instance_id}])


def decide(name: str, target_id: str, port: int | None, state: str | None, reason: str | None) -> int:
    """Has targets be in this state whatever they are, or as they are again without one; says how many."""
    if state is not None and state not in ("healthy", "unhealthy", "initial"):
        raise ValueError(f"a target can not be made {state!r}")
    count = 0
    for group in _backend().target_groups.values():
        for target in _all(group).values():
            is_meant = name in (group.name, group.arn) and target.id == target_id and port in (None, target.port)
            if is_meant:
                target.decided = (state, reason) if state else None
                count += 1
    return count


def install() -> None:
    FakeTargetGroup.register = _register
    FakeTargetGroup.deregister = _deregister
    models.ELBv2Backend.describe_target_health = _describe
    models.ELBv2Backend.notify_terminate_instances = lambda backend, ids: None
