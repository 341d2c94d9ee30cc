"""Boots a node for every instance, and ends it when the instance ends.

It is part of the region's process: so it hears of a change at once, and none of the calls that a test counts are its own.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Callable

from . import instances
from .machines import Machine
from .nodes import Node
from .world import LOCK

# Ends take the engine a while each. It answers a few requests at a time.
_ENDING_AT_ONCE = 6

# How often nodes that have ended by themselves are looked for.
_LOOK_S = 0.2

# All nodes are gone after so long, or stay.
_STOP_S = 120


class Hypervisor:
    """`make` makes the node of an instance; `orders` are done in one thread, which processes are children of."""

    def __init__(self, make: Callable[[Any], Node | Machine], orders: queue.Queue[Callable[[], None] | None]):
        self.make, self.orders = make, orders
        self.nodes: dict[str, Node | Machine] = {}
        self._enders = ThreadPoolExecutor(_ENDING_AT_ONCE, thread_name_prefix="ending")
        self._starter = threading.Thread(target=self._run, name="hypervisor", daemon=True)

    def begin(self) -> None:
        instances.run_by(self)
        self._starter.start()

    # What instances tell, with the lock held

    def changed(self, instance: Any, change: str) -> bool:
        """Takes an order. Says whether the instance settles only when it is done."""
        if change == "started" and instance.id not in self.nodes:
            self.nodes[instance.id] = self.make(instance)
        node = self.nodes.get(instance.id)
        if node is None:
            return False
        if change == "terminated":
            del self.nodes[instance.id]
        node.soon(lambda: self._guarded(lambda: self._perform(node, change)))
        return change in ("terminated", "stopped")

    def take_image(self, instance: Any, image: str, reboots: bool, done: Callable[[bool], None]) -> None:
        node = self.nodes.get(instance.id)
        if node is None:
            return done(True)

        def take() -> None:
            is_taken = False
            try:
                node.take_image(image, reboots)
                is_taken = True
            finally:
                with LOCK:
                    done(is_taken)

        return node.soon(lambda: self._guarded(take))

    def ended(self, instance: Any) -> None:
        """A machine has shut itself down."""
        with LOCK:
            if instance.instance_initiated_shutdown_behavior == "terminate":
                instances.reclaim(instance, "Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
            elif instance.state == "running":
                instance.stop()

    # What is done about it

    def _run(self) -> None:
        while True:
            try:
                order = self.orders.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if order is None:
                return
            order()

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

    def _perform(self, node: Node | Machine, change: str) -> None:
        if change == "started":
            node.start()
        elif change == "rebooted":
            node.reboot()
        elif change == "root-replaced":
            node.replace_root()
        elif isinstance(node, Node):
            # At once, so that nothing is heard of it any more; what the engine has of it takes longer.
            node.kill()
            self._enders.submit(self._guarded, lambda: self._end(node, change))
        else:
            self._end(node, change)

    def _end(self, node: Node | Machine, change: str) -> None:
        try:
            if change == "terminated":
                node.end()
            else:
                node.stop()
        finally:
            with LOCK:
                instances.settle(node.instance)

    def order(self, instance_id: str, what: str) -> None:
        """Has something happen to a node: `crash`, `hang` or `wake`."""
        node = self.nodes[instance_id]
        node.soon(lambda: self._guarded(getattr(node, what)))

    def address_of(self, instance_id: str) -> str:
        """Where what a machine has published is reached."""
        node = self.nodes.get(instance_id)
        if not isinstance(node, Machine) or node.address is None:
            raise ConnectionError(f"{instance_id} has no address")
        return node.address

    def stop(self) -> None:
        """Ends every node, and waits for that."""
        self.orders.put(None)
        self._starter.join()
        with LOCK:
            present, self.nodes = list(self.nodes.values()), {}
        for node in present:
            if isinstance(node, Node):
                self._guarded(node.kill)
        wait([self._enders.submit(self._guarded, node.end) for node in present], timeout=_STOP_S)
        self._enders.shutdown(wait=True)
