"""Waiting to be told to end, by a signal or by another thread, or by both at once."""

from __future__ import annotations

import queue
import signal


class Ending:
    """A queue, because its `put` may interrupt its own `get`: where a signal comes just as a thread has woken
    who waits for a `threading.Event`, its handler waits for ever for a lock that its own thread holds.
    """

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def tell(self) -> None:
        self._told.put(None)

    def heed(self, *signals: int) -> None:
        for number in signals:
            signal.signal(number, lambda *_: self.tell())

    def wait(self) -> None:
        self._told.get()
