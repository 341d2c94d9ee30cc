"""The region as a server: moto's applications behind one port, with what is ours in front of them."""

from __future__ import annotations

import contextlib
import io
import logging
import selectors
import socket
import sys
import threading
import time
import traceback
from http import HTTPStatus
from typing import Any, Callable
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from . import (
    balancers,
    calls,
    clock,
    computing,
    control,
    events,
    groups,
    lag,
    metadata,
    parameters,
    queues,
    scaling,
    signatures,
    stacks,
    topics,
)
from .world import LOCK

# How often time is looked at.
_TICK_S = 0.05

_AT = "region.at"

_SNS_CERTIFICATE = "/SimpleNotificationService-"


def install() -> None:
    """Puts everything onto moto."""
    for module in (calls, clock, events, queues, topics, balancers, computing, scaling, parameters, signatures, stacks):
        module.install()


def tick() -> None:
    with LOCK:
        clock.run_due()
        groups.tick()
        lag.remember()


def _keep_ticking() -> None:
    while True:
        time.sleep(_TICK_S)
        try:
            tick()
        except Exception:
            traceback.print_exc(file=sys.stderr)


class Handler(MotoRequestHandler):
    """Says at which address a request has arrived."""

    def make_environ(self) -> dict[str, Any]:
        return {**super().make_environ(), _AT: self.connection.getsockname()[0]}


class Application:
    """WSGI: the metadata service, the control endpoint, then AWS."""

    def __init__(self) -> None:
        self.aws = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        path, method = environment.get("PATH_INFO", ""), environment["REQUEST_METHOD"]
        instance = metadata.asked(environment[_AT], environment["REMOTE_ADDR"])
        if path.startswith("/latest/") and instance:
            answer = self._metadata(method, instance, path, environment)
        elif path.startswith("/imds/"):
            _, _, instance, rest = (path + "/").split("/", 3)
            answer = self._metadata(method, instance, rest, environment)
        elif path.startswith("/control/"):
            body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            answer = control.serve(method, path.removeprefix("/control/"), body)
        elif path.startswith(_SNS_CERTIFICATE):
            found = topics.certificate(path[1:])
            answer = (200, found, {}) if found else (404, b"", {})
        else:
            return self._call(environment, start)
        status, body, headers = answer
        line = f"{status} {HTTPStatus(status).phrase}"
        start(line, [("content-length", str(len(body))), *({"content-type": "text/plain"} | headers).items()])
        return [body]

    def _call(self, environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        environment["wsgi.input"], environment[signatures.BODY] = io.BytesIO(body), body
        try:
            return self.aws(environment, start)
        except Exception as error:
            # Before moto has found out which call it is; an SDK could make nothing of a page of HTML.
            why = escape(f"{type(error).__name__}: {error}")
            text = f"<ErrorResponse><Error><Code>InvalidAction</Code><Message>{why}</Message></Error></ErrorResponse>"
            start("400 Bad Request", [("content-type", "text/xml"), ("content-length", str(len(text.encode())))])
            return [text.encode()]

    @staticmethod
    def _metadata(method: str, instance: str, path: str, environment: dict[str, Any]) -> metadata.Answer:
        named = {name: value for name, value in environment.items() if name.startswith("HTTP_")}
        headers = {name[5:].replace("_", "-").lower(): value for name, value in named.items()}
        with LOCK:
            return metadata.serve(method, instance, path.strip("/"), headers)


class Server:
    """Listens as soon as it is made, at each of these addresses; `port` 0 is any that is free."""

    def __init__(self, hosts: list[str], port: int):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        application, self._servers = Application(), []
        for host in hosts:
            one = make_server(host, port, application, threaded=True, request_handler=Handler)
            one.daemon_threads = True
            self._servers.append(one)
            port = one.port
        self.endpoints = [f"http://{host}:{port}" for host in hosts]
        self.port = port
        self._more = selectors.DefaultSelector()
        self._listening: dict[str, socket.socket] = {}

    def begin(self) -> None:
        threading.Thread(target=_keep_ticking, name="ticker", daemon=True).start()
        for one in self._servers:
            threading.Thread(target=one.serve_forever, name="server", daemon=True).start()
        threading.Thread(target=self._accept, name="addresses", daemon=True).start()

    def listen(self, address: str) -> str:
        """Listens at one more address of this machine, under the same port."""
        one = socket.create_server((address, self.port))
        self._listening[address] = one
        self._more.register(one, selectors.EVENT_READ)
        return f"http://{address}:{self.port}"

    def leave(self, address: str) -> None:
        one = self._listening.pop(address)
        self._more.unregister(one)
        one.close()

    def _accept(self) -> None:
        while True:
            # With a limit, because one that is added meanwhile is seen in the next turn only.
            for key, _ in self._more.select(_TICK_S):
                with contextlib.suppress(OSError):
                    self._servers[0].process_request(*key.fileobj.accept())
            if not self._listening:
                time.sleep(_TICK_S)

    def stop(self) -> None:
        for one in self._servers:
            one.shutdown()
