"""What describing calls see: the region as it is, or as it was a while ago when a fault says so."""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from dataclasses import dataclass
from typing import Any, Iterator

from moto.autoscaling.models import autoscaling_backends
from moto.ec2 import ec2_backends

from . import clock, faults, members
from .world import ACCOUNT, SETTINGS


@dataclass
class Picture:
    """All instances and groups at one moment."""

    taken_at: float
    reservations: dict[str, Any]
    groups: dict[str, Any]


_pictures: deque[Picture] = deque()


def _instance(original: Any) -> Any:
    copied = copy.copy(original)
    copied._state = copy.copy(original._state)
    # When the copy is dropped it must not give back the addresses of the original.
    copied._private_ips = set()
    return copied


def _reservation(original: Any) -> Any:
    copied = copy.copy(original)
    copied.instances = [_instance(one) for one in original.instances]
    return copied


def _group(original: Any) -> Any:
    copied = copy.copy(original)
    copied.instance_states = [copy.copy(member) for member in original.instance_states]
    copied.warm_members = [copy.copy(member) for member in members.warm(original)]
    return copied


def remember() -> None:
    """Takes a picture if anybody will want to see it; called by the ticker, and when a fault is ordered."""
    lags = [float(fault.says.get("seconds") or 0) for fault in faults.standing("lag")]
    if not lags:
        _pictures.clear()
        return
    reservations = ec2_backends[ACCOUNT][SETTINGS.region].reservations
    groups = autoscaling_backends[ACCOUNT][SETTINGS.region].autoscaling_groups
    _pictures.append(
        Picture(
            clock.now(),
            type(reservations)((name, _reservation(one)) for name, one in reservations.items()),
            type(groups)((name, _group(one)) for name, one in groups.items()),
        )
    )
    oldest = clock.now() - max(lags)
    while len(_pictures) > 1 and _pictures[1].taken_at <= oldest:
        _pictures.popleft()


def _picture(action: str) -> Picture | None:
    says = faults.take("lag", action=action)
    if says is None:
        return None
    if not _pictures:
        return Picture(0.0, {}, {})
    moment = clock.now() - float(says.get("seconds") or 0)
    found = [one for one in _pictures if one.taken_at <= moment]
    return found[-1] if found else _pictures[0]


@contextlib.contextmanager
def seen(action: str) -> Iterator[None]:
    """Has the backends show what this action sees, while it does."""
    picture = _picture(action)
    if picture is None:
        yield
        return
    ec2, scaling = ec2_backends[ACCOUNT][SETTINGS.region], autoscaling_backends[ACCOUNT][SETTINGS.region]
    now = ec2.reservations, scaling.autoscaling_groups
    ec2.reservations, scaling.autoscaling_groups = picture.reservations, picture.groups
    try:
        yield
    finally:
        ec2.reservations, scaling.autoscaling_groups = now
