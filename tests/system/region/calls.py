"""In front of every call: one at a time, faults, counting, and errors as AWS shapes them."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
import warnings
from collections import Counter
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from . import faults
from .errors import Refused, invalid, no_group
from .world import LOCK

# How often each action was called, as `service.Action`.
COUNTS: Counter[str] = Counter()

# These name a group that they are about to make.
_MAKES_ITS_GROUP = {"CreateAutoScalingGroup"}


def answer(response: BaseResponse, refusal: ServiceException) -> Any:
    """A refusal in the protocol of the call."""
    status, headers, body = response.serialized(ActionResult(refusal))
    if getattr(refusal, "status", None):
        status = refusal.status
    return status, headers, body


def _refusal_of(says: dict[str, Any], service: str) -> Refused:
    usual = ("RequestLimitExceeded", 503) if service == "ec2" else ("Throttling", 400)
    code = says.get("code") or usual[0]
    status = says.get("status") or (usual[1] if code == usual[0] else 400)
    return Refused(code, says.get("message") or "Rate exceeded", status)


def _unforeseen(response: BaseResponse, action: str, error: Exception) -> ServiceException:
    """What AWS would say where moto fell over."""
    if isinstance(error, NotImplementedError):
        return Refused("InvalidAction", f"The action {action} is not valid for this endpoint.")
    if response.service_name == "autoscaling" and isinstance(error, (LookupError, StopIteration, ValueError)):
        return invalid(f"{type(error).__name__}: {error}")
    traceback.print_exception(error, file=sys.stderr)
    return Refused("InternalFailure", f"{type(error).__name__}: {error}", 500)


def _check_group(response: BaseResponse, action: str) -> None:
    if response.service_name != "autoscaling" or action in _MAKES_ITS_GROUP:
        return
    name = response._get_param("AutoScalingGroupName")
    if name and name not in response.autoscaling_backend.autoscaling_groups:
        raise no_group(name)


def _perform(response: BaseResponse, action: str, original: Any) -> Any:
    try:
        _check_group(response, action)
        return original(response)
    except ServiceException as refusal:
        return answer(response, refusal)
    except Exception as error:
        return answer(response, _unforeseen(response, action, error))


def _call(response: BaseResponse, original: Any) -> Any:
    action, service = response._get_action(), response.service_name
    with LOCK:
        COUNTS[f"{service}.{action}"] += 1
        says = faults.take("call", service=service, action=action)
    pause = float((says or {}).get("delay_s") or 0)
    time.sleep(pause)
    # One that only takes its time says no more than that.
    fails = says is not None and bool(says.get("code") or not pause)
    if fails and not says.get("after"):
        return answer(response, _refusal_of(says, service))
    # Who waits for a message must not keep everybody else waiting.
    alone = contextlib.nullcontext() if action == "ReceiveMessage" else LOCK
    with alone:
        done = _perform(response, action, original)
    return answer(response, _refusal_of(says, service)) if fails else done


def replace(cls: type, functions: type) -> dict[str, Any]:
    """Puts the functions of one class onto another; gives what was there before."""
    before = {}
    for name, function in vars(functions).items():
        if callable(function) and not name.startswith("__"):
            before[name] = getattr(cls, name, None)
            setattr(cls, name, function)
    return before


def install() -> None:
    # The models leave out what any service may say, of which moto warns.
    warnings.filterwarnings("ignore", message=r"Exception\(Refused\)")
    original = BaseResponse.call_action
    BaseResponse.call_action = lambda response: _call(response, original)
