"""EC2 instances that take time to boot, that end only when their machine has, and for which there may be no room."""

from __future__ import annotations

import copy
from typing import Any, Callable

from moto.ec2 import ec2_backends
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance, MetadataOptions

from . import balancers, clock, faults
from .errors import Refused
from .world import ACCOUNT, SETTINGS

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

# Zones in which nothing can be launched and everything is impaired.
DOWN: set[str] = set()

# Who runs what is behind instances; a hypervisor.
_machines: Any = None


def run_by(machines: Any) -> None:
    global _machines
    _machines = machines


def _tell(instance: Instance, change: str) -> bool:
    """Says whether `settle` will follow when that is done."""
    return _machines is not None and _machines.changed(instance, change)


def take_image(instance: Instance, image: str, reboots: bool, done: Callable[[bool], None]) -> None:
    """Has the files of an instance be an image; `done` is told, with the lock held, whether they are."""
    if _machines is None:
        done(True)
    else:
        _machines.take_image(instance, image, reboots, done)


def backend() -> EC2Backend:
    return ec2_backends[ACCOUNT][SETTINGS.region]


def everyone() -> list[Instance]:
    return [one for reservation in backend().reservations.values() for one in reservation.instances]


def find(instance_id: str) -> Instance | None:
    return next((one for one in everyone() if one.id == instance_id), None)


def enter(instance: Instance, state: str) -> None:
    instance._state.name = state
    instance._state.code = _CODES[state]


def settle(instance: Instance) -> None:
    """The machine has done what was asked of it."""
    if instance.state == "shutting-down":
        enter(instance, "terminated")
    elif instance.state == "stopping":
        enter(instance, "stopped")


def reclaim(instance: Instance, code: str, message: str) -> None:
    """AWS takes an instance away."""
    if instance.state in ("shutting-down", "terminated"):
        return
    instance.terminate()
    instance.state_reason.code, instance.state_reason.message = code, message


def _boot(instance: Instance) -> None:
    enter(instance, "pending")

    def booted() -> None:
        if instance.state == "pending":
            enter(instance, "running")
            _tell(instance, "started")

    if SETTINGS.boot_s > 0:
        clock.after(SETTINGS.boot_s, booted)
    else:
        booted()


def _zone_of(ec2: EC2Backend, asked: dict[str, Any]) -> str:
    if asked.get("subnet_id"):
        return ec2.get_subnet(asked["subnet_id"]).availability_zone
    return asked.get("placement") or f"{ec2.region_name}a"


def _need_room(zone: str, kind: str) -> None:
    if zone in DOWN or faults.take("capacity", zone=zone, type=kind) is not None:
        message = (
            f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone})."
        )
        raise Refused("InsufficientInstanceCapacity", message, 500)


def _profile(given: Any) -> dict[str, str] | None:
    """What an instance shows of its profile; that it exists is not checked."""
    if not given:
        return None
    arn = given.get("Arn") or f"arn:aws:iam::{ACCOUNT}:instance-profile/{given['Name']}"
    return {"Arn": arn, "Id": "AIPA" + arn.split("/")[-1].upper()[:16]}


def _run_instances(ec2: EC2Backend, image_id: str, count: int, *rest: Any, **asked: Any) -> Any:
    template = asked.get("launch_template")
    # moto leaves these parts of a template out.
    data = ec2._get_template_from_args(template).data if template else {}
    kind = asked.get("instance_type")
    if asked.get("is_instance_type_default"):
        kind = data.get("InstanceType") or kind
    _need_room(_zone_of(ec2, asked), kind)
    asked["metadata_options"] = asked.get("metadata_options") or data.get("MetadataOptions") or {}
    market = asked.get("instance_market_options") or (data.get("InstanceMarketOptions") or {}).get("MarketType")
    asked["instance_market_options"] = market
    # moto looks a type up among thousands, and does nothing with what it finds.
    asked["is_instance_type_default"] = True
    reservation = _run_before(ec2, image_id, count, *rest, **asked)
    for instance in reservation.instances:
        instance.instance_type = kind
        profile = _profile(data.get("IamInstanceProfile"))
        instance.iam_instance_profile = instance.iam_instance_profile or profile
        instance.metadata_options = MetadataOptions(asked["metadata_options"])
        instance.booted_at = clock.now()
        _boot(instance)
    return reservation


def _terminate(instance: Instance) -> Any:
    if instance.state in ("shutting-down", "terminated"):
        return _unchanged(instance)
    previous = _terminate_before(instance)
    balancers.forget(instance.id)
    enter(instance, "shutting-down")
    if not _tell(instance, "terminated"):
        settle(instance)
    return previous


def _unchanged(instance: Instance) -> Any:
    """What a call that changes nothing says was before."""
    return copy.copy(instance._state)


def _stop(instance: Instance) -> Any:
    previous = _stop_before(instance)
    enter(instance, "stopping")
    if not _tell(instance, "stopped"):
        settle(instance)
    return previous


def _start(instance: Instance) -> Any:
    if instance.state == "running":
        return _unchanged(instance)
    if instance.state != "stopped":
        message = f"The instance '{instance.id}' is not in a state from which it can be started."
        raise Refused("IncorrectInstanceState", message)
    previous = _start_before(instance)
    instance.booted_at = clock.now()
    _boot(instance)
    return previous


def root_replaced(instance: Instance) -> None:
    """The machine boots from another root volume."""
    _tell(instance, "root-replaced")


def _reboot(instance: Instance) -> None:
    if instance.state == "running":
        _tell(instance, "rebooted")


def _status(instance: Instance) -> dict[str, Any]:
    """As the status checks have it: fine, or unreachable where a zone is down."""
    if instance.state != "running":
        return {"Status": "not-applicable"}
    is_down = instance.placement.zone in DOWN
    details = [{"Name": "reachability", "Status": "failed" if is_down else "passed"}]
    return {"Status": "impaired" if is_down else "ok", "Details": details}


def install() -> None:
    global _run_before, _terminate_before, _stop_before, _start_before
    _run_before, EC2Backend.run_instances = EC2Backend.run_instances, _run_instances
    _terminate_before, Instance.terminate = Instance.terminate, _terminate
    _stop_before, Instance.stop = Instance.stop, _stop
    _start_before, Instance.start = Instance.start, _start
    Instance.reboot = _reboot
    Instance.instance_status = Instance.system_status = property(_status)


_run_before: Any = None
_terminate_before: Any = None
_stop_before: Any = None
_start_before: Any = None
