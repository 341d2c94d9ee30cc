"""Signature version 4, checked where it matters: who calls `GetCallerIdentity` with the credentials of an instance.

Other calls are let through unchecked, and so are other credentials: tests make them up.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.responses import ActionResult
from moto.sts.responses import TokenResponse

from . import calls, clock, identity
from .errors import Refused

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
    scope, signed, signature = found.groups()
    access_key, _, region, service, _ = scope.split("/")
    role = identity.known(access_key)
    if role is None:
        return
    if headers.get("x-amz-security-token") != role.session_token:
        raise Refused("InvalidClientTokenId", "The security token included in the request is invalid", 403)
    _check_age(headers.get("x-amz-date", ""), role)
    auth = _Auth(Credentials(role.access_key_id, role.secret_access_key), service, region, signed.split(";"))
    if not hmac.compare_digest(auth.expected(response, headers), signature):
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


class _Auth(SigV4Auth):
    """Computes what a signature should be over the headers that were signed."""

    def __init__(self, credentials: Credentials, service: str, region: str, signed: list[str]):
        super().__init__(credentials, service, region)
        self.signed = signed

    def headers_to_sign(self, request: Any) -> Any:
        found = super().headers_to_sign(request)
        for name in list(found.keys()):
            if name not in self.signed:
                del found[name]
        return found

    def expected(self, response: Any, headers: dict[str, str]) -> str:
        url = f"http://{headers['host']}{unquote(response.path) or '/'}"
        body = response.raw_body if response.raw_body is not None else response.body
        body = body.encode() if isinstance(body, str) else body
        kept = {name: value for name, value in headers.items() if name in self.signed}
        request = AWSRequest(method=response.method, url=url, data=body, headers=kept)
        request.context["timestamp"] = headers["x-amz-date"]
        return self.signature(self.string_to_sign(request, self.canonical_request(request)), request)


class _Actions:
    def get_caller_identity(self) -> ActionResult:
        check(self)
        return _before["get_caller_identity"](self)


_before: dict[str, Any] = {}


def install() -> None:
    _before.update(calls.replace(TokenResponse, _Actions))
