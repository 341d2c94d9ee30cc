"""Boots a node for every instance, and ends it when the instance ends.

It is part of the region's process: so it hears of a change at once, and none of the calls that a test counts are its own.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable

from . import instances
from .engine import Engine
from .nodes import Node
from .world import LOCK

# Ends take the engine a while each. It answers a few requests at a time.
_ENDING_AT_ONCE = 6

# How often agents that have ended by themselves are looked for.
_LOOK_S = 0.2

# All nodes are gone after so long, or stay.
_STOP_S = 120


class Hypervisor:
    def __init__(self, folder: Path, agent: Path, endpoint: str, engine: Engine):
        self.folder, self.agent, self.endpoint, self.engine = folder, agent, endpoint, engine
        self.nodes: dict[str, Node] = {}
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._enders = ThreadPoolExecutor(_ENDING_AT_ONCE, thread_name_prefix="ending")
        # Agents are children of this thread and die with it.
        self._starter = threading.Thread(target=self._run, name="hypervisor", daemon=True)

    def begin(self) -> None:
        instances.run_by(self.changed)
        self._starter.start()

    def changed(self, instance: Any, change: str) -> bool:
        """Takes an order; called with the lock held. Says whether the instance settles only when it is done."""
        if change == "started" and instance.id not in self.nodes:
            node = Node(instance, self.folder, self.agent, self.endpoint, self.engine)
            self.nodes[instance.id] = node
        node = self.nodes.get(instance.id)
        if node is None:
            return False
        if change == "terminated":
            del self.nodes[instance.id]
        self._orders.put(lambda: self._perform(node, change))
        return change in ("terminated", "stopped")

    def _run(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if order is None:
                return
            self._guarded(order)

    def _look(self) -> None:
        with LOCK:
            present = list(self.nodes.values())
        for node in present:
            self._guarded(node.look)

    @staticmethod
    def _guarded(what: Callable[[], None]) -> None:
        try:
            what()
        except Exception:
            traceback.print_exc(file=sys.stderr)

    def _perform(self, node: Node, change: str) -> None:
        if change == "started":
            node.start()
        elif change == "rebooted":
            node.reboot()
        elif change == "root-replaced":
            node.replace_root()
        else:
            # At once, so that nothing is heard of it any more; what the engine has of it takes longer.
            node.kill()
            self._enders.submit(self._guarded, lambda: self._end(node, change))

    def _end(self, node: Node, change: str) -> None:
        if change == "terminated":
            node.end()
        else:
            node.stop()
        with LOCK:
            instances.settle(node.instance)

    def order(self, instance_id: str, what: str) -> None:
        """Has something happen to a node: `crash`, `hang` or `wake`."""
        node = self.nodes[instance_id]
        self._orders.put(getattr(node, what))

    def stop(self) -> None:
        """Ends every node, and waits for that."""
        self._orders.put(None)
        self._starter.join()
        with LOCK:
            present, self.nodes = list(self.nodes.values()), {}
        for node in present:
            self._guarded(node.kill)
        wait([self._enders.submit(self._guarded, node.end) for node in present], timeout=_STOP_S)
        self._enders.shutdown(wait=True)
