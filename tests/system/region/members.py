"""A group's hold on an instance: its lifecycle state, and what it waits for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from moto.autoscaling import models

from . import clock
from .world import SETTINGS

# What the desired capacity counts.
COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")

# EC2 states of an instance that serves nobody any more.
GONE = ("shutting-down", "terminated", "stopping", "stopped")

# A wait can not be made longer than this by heartbeats: two days, or a hundred timeouts.
_LIMIT_S = 172_800
_TIMEOUTS = 100


@dataclass
class Wait:
    """A lifecycle action that somebody has to complete."""

    hook: models.LifecycleHook
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=clock.now)
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.beat()

    def beat(self) -> None:
        self.deadline = clock.now() + self.hook.heartbeat_timeout

    def is_over(self) -> bool:
        limit = self.began + min(_LIMIT_S, _TIMEOUTS * self.hook.heartbeat_timeout)
        return clock.now() >= min(self.deadline, limit)


class Member(models.InstanceState):
    """In place of moto's, which knows neither waits nor which template version was launched."""

    def __init__(self, instance: Any, lifecycle_state: str = "InService", **more: Any):
        super().__init__(instance, lifecycle_state, **more)
        self.template: dict[str, str] | None = None
        self.weight: int | None = None
        self.since = clock.now()
        self.waits: dict[str, Wait] = {}
        self.activity: dict[str, Any] | None = None
        # When its instance was first seen to be gone.
        self.gone_at: float | None = None
        # A member of the warm pool: what it is there for in the end.
        self.warm = False

    @property
    def launch_template(self) -> dict[str, str] | None:
        return self.template or super().launch_template

    @property
    def weighted_capacity(self) -> str | None:
        return None if self.weight is None else str(self.weight)

    @property
    def image_id(self) -> str:
        return self.instance.image_id

    @property
    def units(self) -> int:
        """What it counts for in the desired capacity."""
        return self.weight or 1

    def enter(self, state: str) -> None:
        self.lifecycle_state = state
        self.since = clock.now()

    def is_counted(self) -> bool:
        return self.lifecycle_state in COUNTED

    def is_ending(self) -> bool:
        return "Terminat" in self.lifecycle_state

    def is_gone(self) -> bool:
        """Whether its group has seen by now that its instance serves nobody any more."""
        if self.instance.state not in GONE:
            self.gone_at = None
            return False
        if self.gone_at is None:
            self.gone_at = clock.now()
        return clock.now() - self.gone_at >= SETTINGS.health_s

    def what(self) -> tuple[Any, Any, Any]:
        """What it was launched from: template, version, image."""
        template = self.template or {}
        return template.get("LaunchTemplateId"), template.get("Version"), self.instance.image_id


def of(group: models.FakeAutoScalingGroup) -> list[Member]:
    """All members, those of the warm pool last."""
    return [*group.instance_states, *warm(group)]


def warm(group: models.FakeAutoScalingGroup) -> list[Member]:
    return group.__dict__.setdefault("warm_members", [])


def find(backend: models.AutoScalingBackend, instance_id: str) -> Member | None:
    for group in backend.autoscaling_groups.values():
        for member in of(group):
            if member.instance.id == instance_id:
                return member
    return None


def install() -> None:
    models.InstanceState = Member
    models.FakeAutoScalingGroup.active_instances = lambda group: [
        member for member in group.instance_states if member.is_counted()
    ]
