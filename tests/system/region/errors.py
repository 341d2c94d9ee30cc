"""Refusals as AWS words them."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class Refused(ServiceException):
    """An error of any service: its code, what it says, and the HTTP status where that is not the usual one."""

    def __init__(self, code: str, message: str, status: int | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> Refused:
    """What Auto Scaling says to nearly everything that it does not like."""
    return Refused("ValidationError", message)


def no_group(name: str) -> Refused:
    return invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")


def no_instance(instance_id: str) -> Refused:
    return invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
