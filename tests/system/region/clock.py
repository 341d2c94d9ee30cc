"""The region's time. It runs as the machine's does, and a test moves it ahead."""

from __future__ import annotations

import heapq
import itertools
import time
from datetime import datetime, timezone
from typing import Callable

_ahead = 0.0
_due: list[tuple[float, int, Callable[[], None]]] = []
_numbers = itertools.count()


def now() -> float:
    """Seconds since 1970."""
    return time.time() + _ahead


def utcnow(at: float | None = None) -> datetime:
    """The same as moto has it: UTC, without saying so."""
    return datetime.fromtimestamp(now() if at is None else at, timezone.utc).replace(tzinfo=None)


def stamp(at: float | None = None) -> str:
    """The same as AWS writes it, in seconds."""
    return utcnow(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(at: float | None = None) -> str:
    """The same in milliseconds."""
    return utcnow(at).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ahead() -> float:
    return _ahead


def advance(seconds: float) -> None:
    global _ahead
    if seconds < 0:
        raise ValueError("time does not go back")
    _ahead += seconds


def after(seconds: float, what: Callable[[], None]) -> None:
    """Has `what` done when so much time has passed."""
    heapq.heappush(_due, (now() + seconds, next(_numbers), what))


def run_due() -> None:
    """Does what is due; called by the ticker."""
    while _due and _due[0][0] <= now():
        heapq.heappop(_due)[2]()


def install() -> None:
    """Gives moto this time where it matters: messages that become visible again, and when things were made."""
    from moto.autoscaling import models as autoscaling
    from moto.ec2.models import amis, instances, launch_templates
    from moto.sqs import models as sqs
    from moto.sts import models as sts

    for module in (autoscaling, amis, instances, launch_templates, sts):
        module.utcnow = utcnow
    sqs.unix_time = now
    sqs.unix_time_millis = lambda: now() * 1000
