"""What a test says to the region beside the APIs of AWS: `/control/...`, JSON both ways."""

from __future__ import annotations

import json
from typing import Any

from . import balancers, calls, clock, faults, identity, instances, lag, members, metadata, notices, traffic
from .errors import Refused
from .hypervisor import Hypervisor
from .world import LOCK, SETTINGS

Answer = tuple[int, bytes, dict[str, str]]

_ROUTES: dict[tuple[str, str], Any] = {}

# Set when the region runs nodes.
hypervisor: Hypervisor | None = None


def route(method: str, path: str) -> Any:
    """Declares who answers; a part of the path in braces is an argument."""

    def declared(function: Any) -> Any:
        _ROUTES[method, path] = function
        return function

    return declared


def serve(method: str, path: str, body: bytes) -> Answer:
    """Answers one request; what it can not do is a 400 that says why."""
    parts = path.strip("/").split("/")
    for (wanted, pattern), function in _ROUTES.items():
        arguments = _matched(pattern.split("/"), parts)
        if wanted == method and arguments is not None:
            return _answer(function, arguments, body)
    return 404, b'{"error": "there is no such control"}', {"content-type": "application/json"}


def _matched(pattern: list[str], parts: list[str]) -> list[str] | None:
    if len(pattern) != len(parts):
        return None
    if any(one != other for one, other in zip(pattern, parts) if not one.startswith("{")):
        return None
    return [other for one, other in zip(pattern, parts) if one.startswith("{")]


def _answer(function: Any, arguments: list[str], body: bytes) -> Answer:
    kind = {"content-type": "application/json"}
    try:
        given = (json.loads(body) if body.strip() else None) or {}
        with LOCK:
            answer = function(*arguments, **given)
    except (ValueError, TypeError, KeyError, LookupError, Refused) as error:
        return 400, json.dumps({"error": str(error)}).encode(), kind
    if isinstance(answer, bytes):
        return 200, answer, {"content-type": "text/plain"}
    return 200, json.dumps({} if answer is None else answer, default=str).encode(), kind


def _instance(instance_id: str) -> Any:
    instance = instances.find(instance_id)
    if instance is None:
        raise LookupError(f"there is no instance {instance_id}")
    return instance


# The region


@route("GET", "ready")
def ready() -> dict[str, Any]:
    return {"region": SETTINGS.region, "nodes": hypervisor is not None}


@route("GET", "settings")
def settings() -> dict[str, Any]:
    return SETTINGS.shown()


@route("POST", "settings")
def change_settings(**values: Any) -> dict[str, Any]:
    SETTINGS.change(values)
    return SETTINGS.shown()


@route("GET", "clock")
def look_at_clock() -> dict[str, Any]:
    return {"now": clock.stamp(), "ahead_s": clock.ahead()}


@route("POST", "clock")
def move_clock(advance_s: float) -> dict[str, Any]:
    clock.advance(float(advance_s))
    return look_at_clock()


@route("GET", "calls")
def count_calls() -> dict[str, int]:
    return dict(calls.COUNTS)


@route("DELETE", "calls")
def forget_calls() -> None:
    calls.COUNTS.clear()


@route("GET", "identity-certificate")
def identity_certificate() -> bytes:
    return identity.certificate()


# Faults


@route("GET", "faults")
def list_faults() -> list[dict[str, Any]]:
    return faults.listed()


@route("POST", "faults")
def order_fault(kind: str, times: int | None = None, **says: Any) -> dict[str, int]:
    fault = faults.order(kind, times, **says)
    lag.remember()
    return {"number": fault.number}


@route("DELETE", "faults")
def clear_faults() -> None:
    faults.clear()


@route("DELETE", "faults/{number}")
def clear_fault(number: str) -> None:
    faults.clear(int(number))


# Zones


@route("POST", "zones/{zone}/dark")
def zone_dies(zone: str) -> dict[str, list[str]]:
    """Everything in it is gone, and nothing can be launched there."""
    instances.DOWN.add(zone)
    hit = [one for one in instances.everyone() if one.placement.zone == zone and one.state in ("pending", "running")]
    for instance in hit:
        instances.reclaim(instance, "Server.InternalError", "Server.InternalError: the zone has failed")
    return {"instances": [one.id for one in hit]}


@route("POST", "zones/{zone}/silent")
def zone_is_silent(zone: str) -> dict[str, list[str]]:
    """Nothing is heard of it, and EC2 says that all is running."""
    return {"instances": _order_all(zone, "hang")}


@route("POST", "zones/{zone}/well")
def zone_is_well(zone: str) -> dict[str, list[str]]:
    instances.DOWN.discard(zone)
    return {"instances": _order_all(zone, "wake")}


def _order_all(zone: str, what: str) -> list[str]:
    hit = [node.id for node in hypervisor.nodes.values() if node.zone == zone] if hypervisor else []
    for node in hit:
        hypervisor.order(node, what)
    return hit


# Instances


@route("GET", "instances")
def list_instances() -> list[dict[str, Any]]:
    return [_shown(one) for one in instances.everyone()]


def _shown(instance: Any) -> dict[str, Any]:
    group = getattr(instance, "autoscaling_group", None)
    member = next((one for one in members.of(group) if one.instance is instance), None) if group else None
    return {
        "id": instance.id,
        "state": instance.state,
        "zone": instance.placement.zone,
        "type": instance.instance_type,
        "image": instance.image_id,
        "market": instance.lifecycle or "on-demand",
        "private_ip": instance.private_ip,
        "group": group.name if member else None,
        "lifecycle_state": member.lifecycle_state if member else None,
        "health": member.health_status if member else None,
        "template_version": (member.template or {}).get("Version") if member else None,
        "waits": {name: wait.token for name, wait in member.waits.items()} if member else {},
    }


@route("GET", "nodes")
def list_nodes() -> list[dict[str, Any]]:
    return [node.shown() for node in hypervisor.nodes.values()] if hypervisor else []


@route("POST", "instances/{instance}/spot-interruption")
def interrupt(instance: str, action: str = "terminate") -> None:
    notices.interrupt_spot(_instance(instance), action)


@route("POST", "instances/{instance}/rebalance")
def rebalance(instance: str) -> None:
    notices.recommend_rebalance(_instance(instance))


@route("POST", "instances/{instance}/scheduled-event")
def scheduled_event(instance: str, code: str = "instance-retirement", in_s: float = 86_400) -> None:
    notices.schedule_event(_instance(instance), code, float(in_s))


@route("POST", "instances/{instance}/metadata")
def put_metadata(instance: str, path: str, value: str | None = None) -> None:
    metadata.put(_instance(instance).id, path, value)


@route("POST", "instances/{instance}/{what}")
def order_node(instance: str, what: str) -> None:
    """`crash`: the agent dies. `hang` and `wake`: it is not heard of, and is again. `die`: the machine fails."""
    found = _instance(instance)
    if what == "die":
        instances.reclaim(found, "Server.InternalError", "Server.InternalError: the machine has failed")
    elif what in ("crash", "hang", "wake"):
        if hypervisor is None or instance not in hypervisor.nodes:
            raise LookupError(f"{instance} has no node")
        hypervisor.order(instance, what)
    else:
        raise ValueError(f"nobody knows how to {what} an instance")


# Load balancers


@route("POST", "listeners/{group}")
def listen(group: str) -> dict[str, Any]:
    """Sends what comes to a port of this machine to the targets of a group."""
    listener = traffic.listen(group)
    sent = {f"{instance}:{port}": count for (instance, port), count in listener.sent.items()}
    return {"port": listener.port, "sent": sent, "refused": listener.refused}


@route("POST", "targets")
def decide_target(
    group: str, id: str, port: int | None = None, state: str | None = None, reason: str | None = None
) -> dict[str, int]:
    return {"targets": balancers.decide(group, id, port, state, reason)}
