"""One node: an agent as a process of this machine, with a state directory of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

from . import clock, metadata
from .engine import Engine
from .world import SETTINGS

# What is understood of user data: lines of NAME=VALUE whose name begins so.
_PREFIXES = ("WHARF_", "REGION_")

# An agent that ends by itself is started again after so long, and then twice as long, as systemd does it.
_RESTART_S = (1.0, 30.0)


def settings_of(user_data: str) -> dict[str, str]:
    """What user data says to a node; anything else in it is for somebody else. A script says it to the machine itself."""
    found = {}
    if is_script(user_data):
        return found
    for line in user_data.splitlines():
        name, is_setting, value = line.strip().partition("=")
        if is_setting and name.startswith(_PREFIXES):
            found[name] = value.strip().strip("'\"")
    return found


def is_script(user_data: str) -> bool:
    """What cloud-init runs as root when an instance boots for the first time."""
    return user_data.startswith("#!")


def settings_of_instance(instance: Any) -> dict[str, str]:
    return settings_of(metadata.decoded(instance.user_data)) if instance.user_data else {}


def agent_environment(instance: Any, said: dict[str, str], endpoint: str) -> dict[str, str]:
    """Where AWS is, what it would say of the instance, then what its user data says."""
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": SETTINGS.region,
        # By this label its containers are known when it is gone.
        "WHARF_NODE": instance.id,
    }
    if said.get("REGION_FACTS") != "no":
        environment |= _facts(instance, said)
    if command := said.get("REGION_TOKEN_COMMAND"):
        environment["WHARF_JOIN_TOKEN"] = _token(instance, command)
    return environment | {name: value for name, value in said.items() if name.startswith("WHARF_")}


def _facts(instance: Any, said: dict[str, str]) -> dict[str, str]:
    facts = {
        "WHARF_ZONE": instance.placement.zone,
        "WHARF_AMI": instance.image_id,
        "WHARF_INSTANCE_TYPE": instance.instance_type,
    }
    group = getattr(instance, "autoscaling_group", None)
    # An agent that shows who it is may not say of which pool it is.
    if group and said.get("WHARF_PLAINTEXT") == "true":
        facts["WHARF_POOL"] = group.name
    return facts


def _token(instance: Any, command: str) -> str:
    """What a command of the operator's prints: a join token opens once, and user data is the same for all."""
    environment = {**os.environ, "WHARF_NODE": instance.id}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode:
        print(f"{instance.id}: no join token: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout.strip()


@dataclass
class Processes:
    """What all nodes of a region share: where they are kept, and the orders of the thread that they belong to."""

    folder: Path
    agent: Path
    endpoint: str
    engine: Engine
    orders: queue.Queue[Any]
    # Listens at one more address and gives its URL, and ends that.
    listen: Callable[[str], str]
    leave: Callable[[str], None]
    numbers: Iterator[int] = field(default_factory=itertools.count)


class Node:
    """A process behind an instance. What it does, but for its end, it does in one thread, which all of its agents die with."""

    def __init__(self, instance: Any, processes: Processes):
        self.instance = instance
        self.id = instance.id
        self.zone = instance.placement.zone
        self.folder = processes.folder / "nodes" / instance.id
        self.log = processes.folder / "logs" / f"{instance.id}.log"
        self.agent, self.endpoint, self.engine = processes.agent, processes.endpoint, processes.engine
        self.orders, self.leave = processes.orders, processes.leave
        self.address = metadata.give_address(instance.id, next(processes.numbers))
        self.metadata = processes.listen(self.address)
        self.process: subprocess.Popen[bytes] | None = None
        self.is_wanted = False
        self.is_hung = False
        self.restarts = 0
        self.begins_again_at = 0.0

    def soon(self, what: Callable[[], None]) -> None:
        self.orders.put(what)

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    def start(self) -> None:
        """Boots: the agent begins where its state directory left off."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        said = settings_of_instance(self.instance)
        # Who is not told where the coordinator is must not look for one on this machine.
        if "WHARF_ADDR" not in said:
            return
        self.is_wanted, self.is_hung = True, False
        environment = self._environment(said)
        arguments = shlex.split(said.get("REGION_AGENT_ARGUMENTS", ""))
        # Should the region be killed, its agents end with it.
        line = ["setpriv", "--pdeathsig", "KILL", "--", str(self.agent), *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        (self.folder / "pid").write_text(str(self.process.pid))

    def _environment(self, said: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self.folder),
            "WHARF_STATE_DIR": str(self.state_dir),
            "WHARF_DOCKER_SOCKET": self.engine.path,
            **agent_environment(self.instance, said, self.endpoint),
            # As every instance has it: at an address, and not below a path.
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata,
            "WHARF_IMDS": self.metadata,
        }

    def look(self) -> None:
        """Starts an agent again that has ended by itself."""
        if not self.is_wanted or (self.process and self.process.poll() is None):
            return
        if self.process is not None:
            code, self.process = self.process.returncode, None
            wait = min(_RESTART_S[0] * 2**self.restarts, _RESTART_S[1])
            self.begins_again_at = clock.now() + wait
            print(f"{self.id}: its agent has ended with {code}, and begins again in {wait:.0f} s", file=sys.stderr)
        elif clock.now() >= self.begins_again_at:
            self.restarts += 1
            self.start()

    def crash(self) -> None:
        """The agent dies, and is started again."""
        self._signal(signal.SIGKILL)

    def hang(self) -> None:
        """Nothing is heard of the agent any more."""
        self.is_hung = True
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.is_hung = False
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """The agent is gone, for good."""
        self.is_wanted = False
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """The power is off: what is on its disk stays."""
        self.kill()
        self.engine.kill(self.id)

    def end(self) -> None:
        """The machine is gone, with its disk."""
        self._discard()
        self.leave(self.address)

    def _discard(self) -> None:
        self.kill()
        self.engine.remove(self.id)
        shutil.rmtree(self.folder, ignore_errors=True)

    def reboot(self) -> None:
        self.stop()
        self.start()

    def replace_root(self) -> None:
        """Boots with an empty disk."""
        self._discard()
        self.start()

    def take_image(self, image: str, reboots: bool) -> None:
        """A process has no disk that could be one."""
        if reboots:
            self.reboot()

    def shown(self) -> dict[str, Any]:
        is_running = self.process is not None and self.process.poll() is None
        return {
            "instance": self.id,
            "zone": self.zone,
            "pid": self.process.pid if is_running else None,
            "hung": self.is_hung,
            "restarts": self.restarts,
            "log": str(self.log),
            "metadata": self.metadata,
        }


def clean(folder: Path, engine: Engine) -> list[str]:
    """Ends what a region has left behind that could not do so itself; says which nodes there were."""
    left = sorted(path for path in (folder / "nodes").glob("i-*") if path.is_dir())
    for path in left:
        _kill_left(path)
        engine.remove(path.name)
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]


def _kill_left(path: Path) -> None:
    """Its agent, unless that number belongs to somebody else by now."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((path / "pid").read_text())
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"WHARF_STATE_DIR={path / 'state'}".encode() in environment:
            os.kill(pid, signal.SIGKILL)
