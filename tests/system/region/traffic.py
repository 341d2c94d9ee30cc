"""What load balancers do with requests: a listener for a target group, which sends each connection to a target that is healthy.

As a network load balancer it knows nothing of what goes through: whoever is connected stays so until one end is done. Targets
are really checked, by HTTP where the group says so.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from . import balancers
from .world import LOCK, SETTINGS

_CONNECT_S = 3.0
_PIECE = 64 << 10

# So many checks in a row say that a target is healthy, or is not any more.
_CHECKS = 2

# Where an instance is reached; said by whoever runs the nodes. What is not reached at all has no address, which is an OSError.
address_of: Callable[[str], str] = lambda _: "127.0.0.1"


@dataclass
class Listener:
    """One port in front of one target group."""

    group: Any
    socket: socket.socket
    turns: Iterator[int] = field(default_factory=itertools.count)
    sent: dict[tuple[str, int], int] = field(default_factory=dict)
    refused: int = 0

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def begin(self) -> None:
        threading.Thread(target=self._accept, name="listener", daemon=True).start()
        threading.Thread(target=self._check, name="checks", daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _choose(self) -> balancers.Target | None:
        with LOCK:
            healthy = [one for one in balancers.targets_of(self.group) if one.state() == "healthy"]
            if not healthy:
                self.refused += 1
                return None
            chosen = sorted(healthy, key=lambda one: (one.id, one.port))[next(self.turns) % len(healthy)]
            self.sent[chosen.id, chosen.port] = self.sent.get((chosen.id, chosen.port), 0) + 1
            return chosen

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            target = self._choose()
            if target is None:
                return
            try:
                other = socket.create_connection((address_of(target.id), target.port), _CONNECT_S)
            except OSError:
                self.refused += 1
                return
            with other, contextlib.suppress(OSError):
                _pump(connection, other)

    def _check(self) -> None:
        while True:
            with LOCK:
                known = balancers.targets_of(self.group)
                path = self.group.health_check_path if self.group.protocol == "HTTP" else None
            for target in known:
                good = _answers(target, path)
                with LOCK:
                    target.checked(good, _CHECKS)
            time.sleep(SETTINGS.target_check_s)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Gives each what the other says, until both have ended."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        one.settimeout(None), other.settimeout(None)
        while ready.get_map():
            for key, _ in ready.select():
                piece = key.fileobj.recv(_PIECE)
                if piece:
                    key.data.sendall(piece)
                    continue
                ready.unregister(key.fileobj)
                with contextlib.suppress(OSError):
                    key.data.shutdown(socket.SHUT_WR)


def _answers(target: balancers.Target, path: str | None) -> bool:
    try:
        address = address_of(target.id)
        if path is None:
            socket.create_connection((address, target.port), _CONNECT_S).close()
            return True
        asked = http.client.HTTPConnection(address, target.port, timeout=_CONNECT_S)
        with contextlib.closing(asked):
            asked.request("GET", path)
            return 200 <= asked.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False


_LISTENERS: dict[str, Listener] = {}


def listen(name: str) -> Listener:
    """The listener of a target group, made when there is none."""
    group = balancers.find(name)
    if group is None:
        raise LookupError(f"there is no target group {name}")
    if group.arn not in _LISTENERS:
        listener = Listener(group, socket.create_server(("127.0.0.1", 0), backlog=256))
        balancers.are_checked(group)
        _LISTENERS[group.arn] = listener
        listener.begin()
    return _LISTENERS[group.arn]
