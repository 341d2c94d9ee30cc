"""The Docker engine of this machine, as far as the containers of a node go that is gone."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import time
from typing import Any
from urllib.parse import quote

# A container whose creation was under way is there so much later.
_UNDER_WAY_S = 0.3
_TIMEOUT_S = 60


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("docker", timeout=_TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self, path: str):
        self.path = path

    def _ask(self, method: str, url: str) -> Any:
        """What it answers; None when there is no engine, or it does not know of what is asked."""
        connection = _Connection(self.path)
        try:
            connection.request(method, url)
            answer = connection.getresponse()
            body = answer.read()
            return json.loads(body) if answer.status == 200 and body else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def gateway(self) -> str:
        """The address of this machine on the network that containers have."""
        bridge = self._ask("GET", "/networks/bridge") or {}
        configuration = bridge["IPAM"]["Config"][0]
        # An engine names it only when it was told, and otherwise takes the first.
        first = next(ipaddress.ip_network(configuration["Subnet"]).hosts())
        return configuration.get("Gateway") or str(first)

    def containers(self, node: str) -> list[str]:
        """Those that carry the label of this node, whatever they do."""
        filters = quote(json.dumps({"label": [f"wharf.node={node}"]}))
        return [one["Id"] for one in self._ask("GET", f"/containers/json?all=1&filters={filters}") or []]

    def kill(self, node: str) -> None:
        """As a power cut does it: they are not there any more, and their files are."""
        for container in self.containers(node):
            self._ask("POST", f"/containers/{container}/kill")

    def remove(self, node: str) -> None:
        """As a machine is gone: with their files, and with what was still being made."""
        is_last = False
        while True:
            found = self.containers(node)
            for container in found:
                self._ask("DELETE", f"/containers/{container}?force=1&v=1")
            if not found and is_last:
                return
            is_last = not found
            time.sleep(_UNDER_WAY_S)
