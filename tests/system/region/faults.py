"""What a test has ordered to go wrong."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from typing import Any

_numbers = itertools.count(1)

# What an order of each kind may say beside how often it happens.
KINDS: dict[str, set[str]] = {
    # A call fails before it has done anything, or with `after` when all of it is done; or it is only slow.
    "call": {"service", "action", "code", "message", "status", "after", "delay_s"},
    # What the describing calls of EC2 and Auto Scaling say was so this long ago.
    "lag": {"action", "seconds"},
    # EC2 has no room, in a zone or for a type if they are named.
    "capacity": {"zone", "type"},
    # An Auto Scaling group can not launch, for this reason.
    "launch": {"group", "code", "message"},
    # A message on its way to a queue: effect is `lose`, `double` or `delay`.
    "message": {"queue", "effect", "delay_s"},
    # What an HTTP endpoint of SNS or EventBridge is sent: `lose` or `double`.
    "delivery": {"endpoint", "effect"},
}


@dataclass
class Fault:
    kind: str
    # How often it still happens; None until it is taken back.
    times: int | None
    says: dict[str, Any]
    number: int = field(default_factory=lambda: next(_numbers))
    happened: int = 0

    def concerns(self, facts: dict[str, Any]) -> bool:
        """Whether all that it names is so; what it does not name may be anything."""
        return all(self.says.get(name) in (None, "*", value) for name, value in facts.items())


_orders: list[Fault] = []


def order(kind: str, times: int | None = None, **says: Any) -> Fault:
    """Adds one."""
    if kind not in KINDS:
        raise ValueError(f"there is no fault of kind {kind!r}, only {sorted(KINDS)}")
    if unknown := says.keys() - KINDS[kind]:
        raise ValueError(f"a fault of kind {kind} does not know {sorted(unknown)}, only {sorted(KINDS[kind])}")
    fault = Fault(kind, times, says)
    _orders.append(fault)
    return fault


def take(kind: str, **facts: Any) -> dict[str, Any] | None:
    """What the first order that concerns this says, which has then happened once more."""
    for fault in _orders:
        if fault.kind == kind and fault.concerns(facts):
            fault.happened += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    _orders.remove(fault)
            return fault.says
    return None


def standing(kind: str) -> list[Fault]:
    return [fault for fault in _orders if fault.kind == kind]


def listed() -> list[dict[str, Any]]:
    return [asdict(fault) for fault in _orders]


def clear(number: int | None = None) -> None:
    """Takes one back, or all."""
    _orders[:] = [fault for fault in _orders if number is not None and fault.number != number]
