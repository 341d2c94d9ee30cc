"""Requests that the region makes to the outside: SNS and EventBridge to an HTTP endpoint.

They are made apart from whoever caused them: an endpoint may call the region before it answers.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import urllib3

from . import faults

# As often AWS at least tries; it waits longer in between.
ATTEMPTS = 3
_PAUSE_S = 1.0
# EventBridge gives an API destination five seconds.
_TIMEOUT_S = 5.0

_workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="delivery")


def post(endpoint: str, body: str, headers: dict[str, str]) -> None:
    """Sends it soon, once, or as a fault has it."""
    says = faults.take("delivery", endpoint=endpoint) or {}
    copies = {"lose": 0, "double": 2}.get(says.get("effect", ""), 1)
    for _ in range(copies):
        _workers.submit(_attempt, endpoint, body, headers)


def _attempt(endpoint: str, body: str, headers: dict[str, str]) -> None:
    why: Any = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S)
        try:
            # Who answers has a certificate of its own making.
            answer = requests.post(endpoint, body.encode(), headers=headers, timeout=_TIMEOUT_S, verify=False)
            if answer.status_code < 300:
                return
            why = f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            why = error
    print(f"{endpoint} has not taken a message: {why}", file=sys.stderr)


urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
