"""A machine behind an instance: a container with an init and an engine of its own. Its files are the image that it was launched from.

The region keeps an AMI as an image of the engine, of the machine's root, and a volume, of what its own engine has.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from . import metadata
from .nodes import agent_environment, is_script, settings_of_instance

# The disk of a machine that its own engine writes to.
_DISK = "/var/lib/docker"

# Where an instance has its metadata service.
_METADATA = "169.254.169.254"

# Where cloud-init keeps what it is told, by instance.
_INSTANCES = "/var/lib/cloud/instances"

# What cloud-init does with a script, once the machine has booted.
_RUN_SCRIPT = """
until systemctl is-system-running | grep -qE 'running|degraded'; do sleep 0.2; done
exec sh "$0" >>/var/log/cloud-init-output.log 2>&1
"""

# An orderly end takes no longer, or is none.
_SHUTDOWN_S = 20

# How often a machine is looked at that may have shut itself down.
_LOOK_S = 2.0

_COMMAND_S = 600


@dataclass
class Kind:
    """How machines are made: `arguments` are those of `docker create`, `init` is what is begun in it."""

    image: str
    arguments: list[str]
    init: list[str]


class Machines:
    """What all machines of a region share: the engine, and the images that were made of them."""

    def __init__(self, kind: Kind, folder: Path, endpoint: str, socket: str):
        self.kind, self.folder, self.endpoint, self.socket = kind, folder, endpoint, socket
        self.images: set[str] = set()

    @property
    def label(self) -> str:
        return f"wharf.region={self.folder}"

    def docker(self, *arguments: str, check: bool = True) -> str:
        line = ["docker", "--host", f"unix://{self.socket}", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=_COMMAND_S)
        if check and done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def copy_disk(self, source: str, target: str) -> None:
        """With everything that an engine has put into extended attributes."""
        self.docker("volume", "create", "--label", self.label, target)
        volumes = [f"--volume={source}:/from:ro", f"--volume={target}:/to"]
        rights = ["--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=apparmor=unconfined", "--network=none"]
        copy = [self.kind.image, "cp", "--archive", "/from/.", "/to/"]
        self.docker("run", "--rm", f"--label={self.label}", *rights, *volumes, *copy)

    def clean(self) -> list[str]:
        """Ends what a region has left in this folder's name."""
        kinds = (
            (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
            (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
            (("images", "--quiet"), ("rmi", "--force")),
        )
        left = []
        for listing, removal in kinds:
            found = self.docker(*listing, "--filter", f"label={self.label}", check=False).split()
            if found:
                self.docker(*removal, *dict.fromkeys(found), check=False)
            left += found
        return left


class Machine:
    """Does one thing after the other, apart from all other machines: each takes the engine a while."""

    def __init__(self, instance: Any, machines: Machines, ended: Callable[[Any], None]):
        self.instance, self.machines, self.ended = instance, machines, ended
        self.id, self.zone = instance.id, instance.placement.zone
        self.name = f"wharf-{instance.id}"
        self.worker = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self.is_made = self.is_wanted = self.is_hung = False
        self.pid: int | None = None
        # On the network that machines share with whoever runs the region; none while the power is off.
        self.address: str | None = None
        self.script: str | None = None
        self.looked_at = 0.0

    def soon(self, what: Callable[[], None]) -> None:
        self.worker.submit(what)

    def start(self) -> None:
        if not self.is_made:
            self._make()
        self.machines.docker("start", self.name)
        shown = self.machines.docker("inspect", "--format", "{{.State.Pid}} {{.NetworkSettings.IPAddress}}", self.name)
        pid, self.address = shown.split()
        self.pid, self.is_wanted, self.is_hung = int(pid), True, False
        metadata.belongs(self.address, self.id)
        self._lead_to_metadata()
        if self.script:
            # Beside what else is ordered: it may take long, and the machine may end before.
            self.machines.docker("exec", "--detach", self.name, "sh", "-c", _RUN_SCRIPT, self.script)
            self.script = None

    def _lead_to_metadata(self) -> None:
        """To where every instance has it. Not from its containers' own networks, as with a hop limit of one."""
        target = self.machines.endpoint.removeprefix("http://")
        rule = ["-d", _METADATA, "-p", "tcp", "--dport", "80", "-j", "DNAT", "--to-destination", target]
        self.machines.docker("exec", self.name, "iptables", "--wait", "-t", "nat", "-A", "OUTPUT", *rule)

    def _make(self) -> None:
        """From its image, with its user data in the agent's settings, as cloud-init would put them there."""
        machines, image = self.machines, self.instance.image_id
        if image in machines.images:
            root = f"wharf-ami:{image}"
            machines.copy_disk(f"wharf-{image}", self.name)
        else:
            root = machines.kind.image
            machines.docker("volume", "create", "--label", machines.label, self.name)
        create = ["create", "--name", self.name, "--hostname", self.instance.private_dns_name.split(".")[0]]
        create += [f"--label={machines.label}", "--stop-signal=SIGRTMIN+3", f"--volume={self.name}:{_DISK}"]
        machines.docker(*create, *machines.kind.arguments, root, *machines.kind.init)
        self.is_made = True
        self._keep_script()
        said = settings_of_instance(self.instance)
        if "WHARF_ADDR" in said:
            settings = agent_environment(self.instance, said, machines.endpoint)
            self._write("/etc/wharf/agent.env", "".join(f"{name}={value}\n" for name, value in settings.items()))

    def _keep_script(self) -> None:
        """User data that is a script is run once, when the instance boots for the first time: a copy of its disk has it too."""
        user_data = metadata.decoded(self.instance.user_data) if self.instance.user_data else ""
        if not is_script(user_data):
            return
        folder = self.machines.folder / f"{self.name}.files"
        self.script = f"{_INSTANCES}/{self.id}/user-data.txt"
        inside = folder / self.script.removeprefix("/")
        inside.parent.mkdir(parents=True)
        inside.write_text(user_data)
        # With the folders that lead there, which an image may lack.
        self.machines.docker("cp", f"{folder}/var/lib/.", f"{self.name}:/var/lib/")
        shutil.rmtree(folder)

    def _write(self, path: str, text: str) -> None:
        file = self.machines.folder / f"{self.name}.file"
        file.write_text(text)
        self.machines.docker("cp", str(file), f"{self.name}:{path}")
        file.unlink()

    def look(self) -> None:
        """A machine that has shut itself down ends its instance, or stops it."""
        if not self.is_wanted or time.monotonic() - self.looked_at < _LOOK_S:
            return
        self.looked_at = time.monotonic()
        if self.machines.docker("inspect", "--format", "{{.State.Running}}", self.name, check=False) == "false":
            self.is_wanted, self.pid, self.address = False, None, None
            self.ended(self.instance)

    def crash(self) -> None:
        self.machines.docker("exec", self.name, "systemctl", "kill", "--signal=KILL", "wharf-agent")

    def hang(self) -> None:
        self.machines.docker("pause", self.name)
        self.is_hung = True

    def wake(self) -> None:
        if self.is_hung:
            self.machines.docker("unpause", self.name)
        self.is_hung = False

    def kill(self) -> None:
        """The power is off."""
        self.is_wanted, self.pid, self.address = False, None, None
        self.wake()
        self.machines.docker("kill", self.name, check=False)

    def stop(self) -> None:
        """An orderly end, for what is patient."""
        self.is_wanted, self.pid, self.address = False, None, None
        self.wake()
        self.machines.docker("stop", "--time", str(_SHUTDOWN_S), self.name, check=False)

    def end(self) -> None:
        self.kill()
        self._discard()

    def _discard(self) -> None:
        self.machines.docker("rm", "--force", self.name, check=False)
        self.machines.docker("volume", "rm", "--force", self.name, check=False)
        self.is_made = False

    def reboot(self) -> None:
        self.stop()
        self.start()

    def replace_root(self) -> None:
        self.stop()
        self._discard()
        self.start()

    def take_image(self, image: str, reboots: bool) -> None:
        """Has its files be an AMI. Without a reboot they are what the disk has at that moment."""
        was_running = self.is_wanted
        if was_running and reboots:
            self.stop()
        # Labels of a container are those of its image, so that this one is found too when all is cleaned up.
        self.machines.docker("commit", self.name, f"wharf-ami:{image}")
        self.machines.copy_disk(self.name, f"wharf-{image}")
        self.machines.images.add(image)
        if was_running and reboots:
            self.start()

    def shown(self) -> dict[str, Any]:
        log = str(self.machines.folder / "region.log")
        shown = {"instance": self.id, "zone": self.zone, "pid": self.pid, "hung": self.is_hung}
        return {**shown, "restarts": 0, "log": log, "metadata": f"http://{_METADATA}", "container": self.name}


def kind_of(image: str, arguments: str, init: str) -> Kind:
    """From the command line, where lists are words of a shell."""
    return Kind(image, shlex.split(arguments), shlex.split(init))
