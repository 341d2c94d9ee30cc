"""The metadata service of each instance, below `/imds/INSTANCE`: version 2, so nothing without a token."""

from __future__ import annotations

import json
import secrets
from typing import Any

from . import clock, identity, instances
from .world import ACCOUNT, SETTINGS

_TTL_S = range(1, 21_601)

# Tokens that were given, and until when they hold.
_tokens: dict[str, tuple[str, float]] = {}

# What a test or an event has put there, by instance and path. None takes away what is there otherwise.
_put: dict[str, dict[str, str | None]] = {}

# Who is asked at an address of this machine, and who asks from another.
_at: dict[str, str] = {}
_from: dict[str, str] = {}

Answer = tuple[int, bytes, dict[str, str]]


def give_address(instance_id: str, number: int) -> str:
    """An address of the loopback network at which the service answers as that of an instance."""
    address = f"127.77.{number // 250 % 250}.{number % 250 + 1}"
    _at[address] = instance_id
    return address


def belongs(address: str, instance_id: str) -> None:
    """Has requests from this address be those of an instance."""
    _from[address] = instance_id


def asked(at: str, by: str) -> str | None:
    """The instance whose service is asked, where that does not follow from the path."""
    return _at.get(at) or _from.get(by)


def put(instance_id: str, path: str, value: str | None) -> None:
    """Has the service answer so at a path below `latest/`."""
    _put.setdefault(instance_id, {})[path] = value


def serve(method: str, instance_id: str, path: str, headers: dict[str, str]) -> Answer:
    """Answers one request; names of headers are in lower case."""
    instance = instances.find(instance_id)
    if instance is None or instance.state in ("terminated", "stopped"):
        return 404, b"", {}
    if instance.metadata_options.http_endpoint == "disabled":
        return 403, b"", {}
    if method == "PUT" and path == "latest/api/token":
        return _new_token(instance_id, headers)
    if method != "GET":
        return 405, b"", {}
    if not _is_let_in(instance, headers.get("x-aws-ec2-metadata-token")):
        return 401, b"", {}
    value = _value(instance, path.removeprefix("latest/").rstrip("/"))
    return (404, b"", {}) if value is None else (200, value.encode(), {})


def _new_token(instance_id: str, headers: dict[str, str]) -> Answer:
    ttl = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
    if "x-forwarded-for" in headers:
        return 403, b"", {}
    if not ttl.isdigit() or int(ttl) not in _TTL_S:
        return 400, b"", {}
    token = secrets.token_urlsafe(40)
    _tokens[token] = (instance_id, clock.now() + int(ttl))
    # SDKs refuse an answer that does not repeat it.
    return 200, token.encode(), {"x-aws-ec2-metadata-token-ttl-seconds": ttl}


def _is_let_in(instance: Any, token: str | None) -> bool:
    if token is None:
        return instance.metadata_options.http_tokens != "required"
    whose, until = _tokens.get(token, ("", 0.0))
    return whose == instance.id and clock.now() < until


def _value(instance: Any, path: str) -> str | None:
    known = {**_facts(instance), **_put.get(instance.id, {})}
    if path in known:
        return known[path]
    if path.startswith("dynamic/instance-identity/"):
        return _identity(instance, path.rsplit("/", 1)[1])
    if credentials := _credentials(instance, path):
        return credentials
    return _listing(known, path)


def _facts(instance: Any) -> dict[str, str | None]:
    facts: dict[str, str | None] = {
        "meta-data/ami-id": instance.image_id,
        "meta-data/hostname": instance.private_dns_name,
        "meta-data/instance-id": instance.id,
        "meta-data/instance-life-cycle": instance.lifecycle or "on-demand",
        "meta-data/instance-type": instance.instance_type,
        "meta-data/local-hostname": instance.private_dns_name,
        "meta-data/local-ipv4": instance.private_ip,
        "meta-data/mac": instance.nics[0].mac_address if instance.nics else None,
        "meta-data/placement/availability-zone": instance.placement.zone,
        "meta-data/placement/region": SETTINGS.region,
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
        "meta-data/autoscaling/target-lifecycle-state": _target_state(instance),
        "user-data": _user_data(instance),
    }
    if instance.metadata_options.instance_metadata_tags == "enabled":
        for tag in instance.get_tags():
            facts[f"meta-data/tags/instance/{tag['key']}"] = tag["value"]
    return {path: value for path, value in facts.items() if value is not None}


def _user_data(instance: Any) -> str | None:
    return None if instance.user_data is None else decoded(instance.user_data)


def decoded(user_data: Any) -> str:
    """User data as the instance sees it; moto keeps it as it was sent."""
    return user_data.decode() if hasattr(user_data, "decode") else str(user_data)


def _target_state(instance: Any) -> str | None:
    """Where the group wants the instance to go, which it may not have reached."""
    from .members import of

    group = getattr(instance, "autoscaling_group", None)
    member = next((one for one in of(group) if one.instance is instance), None) if group else None
    if member is None:
        return None
    if member.is_ending():
        return "Terminated"
    if member.warm:
        return f"Warmed:{group.warm_pool.pool_state if group.warm_pool else 'Terminated'}"
    return "Standby" if member.lifecycle_state == "Standby" else "InService"


def _identity(instance: Any, what: str) -> str | None:
    if what == "document":
        return identity.document(instance)
    return identity.signature(instance) if what == "rsa2048" else None


def _credentials(instance: Any, path: str) -> str | None:
    role, base = identity.role(instance), "meta-data/iam/security-credentials"
    if role and path == base:
        return role
    if role and path == f"{base}/{role}":
        return identity.credentials(instance, role)
    if role and path == "meta-data/iam/info":
        return json.dumps({"Code": "Success", "InstanceProfileArn": instance.iam_instance_profile["Arn"]})
    own = "meta-data/identity-credentials/ec2"
    if path == f"{own}/info":
        return json.dumps({"Code": "Success", "AccountId": ACCOUNT})
    if path == f"{own}/security-credentials/ec2-instance":
        return identity.credentials(instance, identity.INSTANCE_ROLE)
    return None


def _listing(known: dict[str, str | None], path: str) -> str | None:
    """What is below a folder, a line each, folders with a slash."""
    prefix = f"{path}/" if path else ""
    below = [
        name.removeprefix(prefix) for name, value in known.items() if name.startswith(prefix) and value is not None
    ]
    names = {name.split("/")[0] + "/" if "/" in name else name for name in below}
    return "\n".join(sorted(names)) if names else None
