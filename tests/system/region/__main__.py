"""`python -m region`: a region that runs until it is told to stop, by a signal or by the end of its standard input."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

# Read by moto when it is imported: a handful of images in place of thousands.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("images.json"))
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "true")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="region", description=sys.modules[__name__].__doc__)
    parser.add_argument(
        "folder", type=Path, help="where nodes and their logs are kept, and region.json says where it listens"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="any that is free when it is not given")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--agent", type=Path, help="the program of a node; without it instances have none")
    parser.add_argument("--docker-socket", default="/var/run/docker.sock")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end when whoever started it is gone")
    parser.add_argument(
        "--clean", action="store_true", help="end what a region has left behind in this folder, and no more"
    )
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    asked.folder = asked.folder.absolute()
    from . import nodes
    from .engine import Engine

    if other := _runs_here(asked.folder):
        print(f"a region runs in {asked.folder} already: process {other}", file=sys.stderr)
        return 1
    engine = Engine(asked.docker_socket)
    if left := nodes.clean(asked.folder, engine):
        print(f"ended what was left of {', '.join(left)}", file=sys.stderr)
    if asked.clean:
        return 0
    asked.folder.mkdir(parents=True, exist_ok=True)
    return run(asked, engine)


def run(asked: argparse.Namespace, engine: object) -> int:
    from .world import SETTINGS

    SETTINGS.region = asked.region
    from . import control, server
    from .hypervisor import Hypervisor

    server.install()
    region = server.Server(asked.host, asked.port)
    if asked.agent:
        control.hypervisor = Hypervisor(asked.folder, asked.agent.absolute(), region.endpoint, engine)
        control.hypervisor.begin()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    if asked.until_stdin_ends:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), ended.set()), daemon=True).start()
    region.begin()
    _announce(asked.folder, region.endpoint)
    ended.wait()
    region.stop()
    if control.hypervisor:
        control.hypervisor.stop()
    (asked.folder / "region.json").unlink(missing_ok=True)
    return 0


def _runs_here(folder: Path) -> int | None:
    """The process of a region that has this folder and is alive."""
    try:
        pid = int(json.loads((folder / "region.json").read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError):
        return None
    return pid if str(folder).encode() in command else None


def _announce(folder: Path, endpoint: str) -> None:
    """All of it or nothing: whoever waits for the file reads it at once."""
    unfinished = folder / "region.json.unfinished"
    unfinished.write_text(json.dumps({"endpoint": endpoint, "pid": os.getpid()}))
    unfinished.rename(folder / "region.json")


sys.exit(main())
