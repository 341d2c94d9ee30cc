"""`python -m region`: a region that runs until it is told to stop, by a signal or by the end of its standard input."""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any

# Read by moto when it is imported: a handful of images in place of thousands.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("images.json"))

from . import machines, nodes
from .ending import Ending
from .engine import Engine
from .hypervisor import Hypervisor


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="region", description=sys.modules[__name__].__doc__)
    parser.add_argument(
        "folder", type=Path, help="where nodes and their logs are kept, and region.json says where it listens"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="any that is free when it is not given")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--agent", type=Path, help="the program of a node; without it instances have none")
    parser.add_argument(
        "--machine-image", help="an image of the engine that is a machine; instances are its containers"
    )
    parser.add_argument("--machine-arguments", default="", help="what docker create needs for one, words of a shell")
    parser.add_argument("--machine-init", default="/sbin/init", help="what is begun in one, words of a shell")
    parser.add_argument("--docker-socket", default="/var/run/docker.sock")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end when whoever started it is gone")
    parser.add_argument(
        "--clean", action="store_true", help="end what a region has left behind in this folder, and no more"
    )
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    asked.folder = asked.folder.absolute()
    if other := _runs_here(asked.folder):
        print(f"a region runs in {asked.folder} already: process {other}", file=sys.stderr)
        return 1
    engine = Engine(asked.docker_socket)
    left = nodes.clean(asked.folder, engine)
    if asked.machine_image:
        left += kept(asked).clean()
    if left:
        print(f"ended what was left of {', '.join(left)}", file=sys.stderr)
    if asked.clean:
        return 0
    asked.folder.mkdir(parents=True, exist_ok=True)
    return run(asked, engine)


def run(asked: argparse.Namespace, engine: Engine) -> int:
    from .world import SETTINGS

    SETTINGS.region = asked.region
    from . import control, server, traffic

    server.install()
    hosts = [asked.host, engine.gateway()] if asked.machine_image else [asked.host]
    region = server.Server(hosts, asked.port)
    if asked.agent or asked.machine_image:
        control.hypervisor = hypervisor(asked, region, engine)
        control.hypervisor.begin()
    if asked.machine_image:
        traffic.address_of = control.hypervisor.address_of
    ending = Ending()
    ending.heed(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    if asked.until_stdin_ends:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), ending.tell()), daemon=True).start()
    region.begin()
    _announce(asked.folder, region.endpoints)
    ending.wait()
    region.stop()
    if control.hypervisor:
        control.hypervisor.stop()
    if asked.machine_image:
        # Images outlive their machines, but not the region.
        kept(asked).clean()
    (asked.folder / "region.json").unlink(missing_ok=True)
    return 0


def kept(asked: argparse.Namespace, endpoint: str = "") -> machines.Machines:
    """What the machines of this folder have in common."""
    kind = machines.kind_of(asked.machine_image, asked.machine_arguments, asked.machine_init)
    return machines.Machines(kind, asked.folder, endpoint, asked.docker_socket)


def hypervisor(asked: argparse.Namespace, region: Any, engine: Engine) -> Hypervisor:
    """Of machines, which reach the region by the last of its addresses, or of processes."""
    orders: queue.Queue[Any] = queue.Queue()
    if asked.machine_image:
        shared = kept(asked, region.endpoints[-1])
        made = Hypervisor(lambda instance: machines.Machine(instance, shared, made.ended), orders)
        return made
    places = asked.folder, asked.agent.absolute(), region.endpoints[0], engine
    processes = nodes.Processes(*places, orders, region.listen, region.leave)
    return Hypervisor(lambda instance: nodes.Node(instance, processes), orders)


def _runs_here(folder: Path) -> int | None:
    """The process of a region that has this folder and is alive."""
    try:
        pid = int(json.loads((folder / "region.json").read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError):
        return None
    return pid if str(folder).encode() in command else None


def _announce(folder: Path, endpoints: list[str]) -> None:
    """All of it or nothing: whoever waits for the file reads it at once."""
    unfinished = folder / "region.json.unfinished"
    unfinished.write_text(
        json.dumps({"endpoint": endpoints[0], "machines_endpoint": endpoints[-1], "pid": os.getpid()})
    )
    unfinished.rename(folder / "region.json")


sys.exit(main())
