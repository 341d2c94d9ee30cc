"""A region ends when it is told to, however many tell it at whatever moment."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

# A signal at each line that is run while one waits, and more than one who tells.
_INTERRUPTED = """
import signal, sys, threading
from region.ending import Ending

ending = Ending()
ending.heed(signal.SIGTERM)

def at_each_line(frame, event, _):
    if event == "line":
        sys.settrace(None)
        signal.raise_signal(signal.SIGTERM)
        sys.settrace(at_each_line)
    return at_each_line

threading.Thread(target=ending.tell).start()
sys.settrace(at_each_line)
ending.wait()
sys.settrace(None)
print("ended")
"""


class Endings(unittest.TestCase):
    def test_a_signal_interrupts_the_waiting_itself(self) -> None:
        command = [sys.executable, "-c", _INTERRUPTED]
        above = Path(__file__).parent.parent.parent
        said = subprocess.run(command, cwd=above, capture_output=True, text=True, timeout=60)
        self.assertEqual(said.stdout, "ended\n", said.stderr)
