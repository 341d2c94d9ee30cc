"""Signature version 4, checked where it matters: who calls `GetCallerIdentity` with the credentials of an instance.

Other calls are let through unchecked, and so are other credentials: tests make them up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from moto.core.responses import ActionResult
from moto.sts.responses import TokenResponse

from . import calls, clock, identity
from .errors import Refused

# Where the server keeps the body of a request as it came.
BODY = "region.body"

# A signature is good for so long.
_VALID_S = 900

_SCHEME = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)")


def _headers(response: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def check(response: Any) -> None:
    """Refuses what an instance has not signed so, or too long ago."""
    headers = _headers(response)
    found = _SCHEME.search(headers.get("authorization", ""))
    if found is None:
        raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    credential, signed, signature = found.groups()
    access_key, *scope = credential.split("/")
    role = identity.known(access_key)
    if role is None:
        return
    if headers.get("x-amz-security-token") != role.session_token:
        raise Refused("InvalidClientTokenId", "The security token included in the request is invalid", 403)
    _check_age(headers.get("x-amz-date", ""), role)
    canonical = _canonical(response.headers.environ, headers, signed)
    expected = _signature(role.secret_access_key, headers["x-amz-date"], scope, canonical)
    if not hmac.compare_digest(expected, signature):
        message = "The request signature we calculated does not match the signature you provided."
        raise Refused("SignatureDoesNotMatch", message, 403)


def _check_age(date: str, role: Any) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise Refused("IncompleteSignature", f"Date must be in ISO-8601 'basic format'. Got '{date}'.", 400) from None
    # The signer has the machine's clock, which is not moved ahead.
    if abs(clock.now() - clock.ahead() - signed_at) > _VALID_S:
        raise Refused("SignatureDoesNotMatch", f"Signature expired: {date} is now earlier than allowed.", 403)
    if clock.now() >= role.expires_at:
        raise Refused("ExpiredToken", "The security token included in the request is expired", 403)


def _canonical(environment: dict[str, Any], headers: dict[str, str], signed: str) -> str:
    """The request as it is signed: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html."""
    query = sorted(
        part if "=" in part else f"{part}=" for part in environment.get("QUERY_STRING", "").split("&") if part
    )
    return "\n".join(
        [
            environment["REQUEST_METHOD"],
            quote(environment.get("PATH_INFO") or "/", safe="/-_.~"),
            "&".join(query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.split(";")),
            "",
            signed,
            hashlib.sha256(environment.get(BODY, b"")).hexdigest(),
        ]
    )


def _signature(secret: str, date: str, scope: list[str], canonical: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    lines = ["AWS4-HMAC-SHA256", date, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
    return hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()


class _Actions:
    def get_caller_identity(self) -> ActionResult:
        check(self)
        return _before["get_caller_identity"](self)


_before: dict[str, Any] = {}


def install() -> None:
    _before.update(calls.replace(TokenResponse, _Actions))
