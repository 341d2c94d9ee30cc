"""What a person says to a region that runs: `wharf-region COMMAND`, by the same calls that everybody makes."""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3

_IMAGE = "ami-d0000000000000003"
_QUEUE = "wharf"
_HOOK = "wharf"
_WAIT_S = 120


class Tour:
    def __init__(self, folder: Path):
        file = folder / "region.json"
        if not file.exists():
            sys.exit("no region runs: wharf-region start")
        self.endpoint = json.loads(file.read_text())["endpoint"]
        self.region = self.control("GET", "ready")["region"]

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "none-is-checked"}
        return boto3.client(service, endpoint_url=self.endpoint, region_name=self.region, **keys)

    def control(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{self.endpoint}/control/{path}", json.dumps(body).encode(), method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            sys.exit(json.loads(error.read())["error"])

    # What there is

    def where(self, _: argparse.Namespace) -> None:
        """Prints where the region is."""
        print(f"region {self.region} at {self.endpoint}")

    def env(self, _: argparse.Namespace) -> None:
        """Prints what an AWS SDK or command line needs in its environment."""
        print(f"export AWS_ENDPOINT_URL={self.endpoint} AWS_REGION={self.region} AWS_DEFAULT_REGION={self.region}")
        print("export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=none-is-checked")

    def ls(self, asked: argparse.Namespace) -> None:
        """Lists the instances that there are."""
        shown = [one for one in self.control("GET", "instances") if asked.all or one["state"] != "terminated"]
        shown = [one for one in shown if asked.pool in (None, one["group"])]
        if asked.quiet:
            print("\n".join(one["id"] for one in shown))
            return
        agents = {node["instance"]: node for node in self.control("GET", "nodes")}
        rows = [("INSTANCE", "POOL", "ZONE", "STATE", "LIFECYCLE", "MARKET", "AGENT")]
        for one in shown:
            agent = agents.get(one["id"], {})
            process = "hung" if agent.get("hung") else str(agent.get("pid") or "-")
            cells = (one["group"], one["zone"], one["state"], one["lifecycle_state"], one["market"], process)
            rows.append((one["id"], *(cell or "-" for cell in cells)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

    def events(self, _: argparse.Namespace) -> None:
        """Prints what was sent to the queue, and takes it out."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=_QUEUE)["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                event = json.loads(message["Body"])
                detail = event.get("detail", event)
                named = detail.get("EC2InstanceId") or detail.get("instance-id") or ""
                print(f"{event.get('time', '')}  {event.get('detail-type', event.get('Event', ''))}  {named}")
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def logs(self, asked: argparse.Namespace) -> None:
        """Prints what the agent of an instance has written."""
        for node in self.control("GET", "nodes"):
            if node["instance"] == asked.instance:
                print(Path(node["log"]).read_text(), end="")

    # Pools

    def pool(self, asked: argparse.Namespace) -> None:
        """Makes a launch template and a group whose instances join the coordinator of the current context."""
        ec2, scaling = self.client("ec2"), self.client("autoscaling")
        data = {
            "ImageId": _IMAGE,
            "InstanceType": "t3.small",
            "UserData": base64.b64encode(_user_data(asked.name).encode()).decode(),
            "IamInstanceProfile": {"Name": "wharf-node"},
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        }
        if asked.spot:
            data["InstanceMarketOptions"] = {"MarketType": "spot"}
        ec2.create_launch_template(LaunchTemplateName=asked.name, LaunchTemplateData=data)
        self._hear()
        zones = [f"{self.region}{letter}" for letter in "abc"]
        found = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": zones}])["Subnets"]
        hook = {
            "LifecycleHookName": _HOOK,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "HeartbeatTimeout": 300,
            "DefaultResult": "CONTINUE",
        }
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=asked.name,
            LaunchTemplate={"LaunchTemplateName": asked.name, "Version": "1"},
            MinSize=0,
            MaxSize=asked.max,
            DesiredCapacity=asked.size,
            VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in found),
            LifecycleHookSpecificationList=[hook] if asked.hook else [],
        )

    def _hear(self) -> None:
        """Has the queue hear of everything."""
        sqs, events = self.client("sqs"), self.client("events")
        url = sqs.create_queue(QueueName=_QUEUE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.autoscaling", "aws.ec2", "aws.health"]}
        events.put_rule(Name=_QUEUE, EventPattern=json.dumps(pattern), State="ENABLED")
        events.put_targets(Rule=_QUEUE, Targets=[{"Id": _QUEUE, "Arn": arn}])

    def scale(self, asked: argparse.Namespace) -> None:
        """Has a group want so many instances."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=asked.pool, DesiredCapacity=asked.size)

    def wait(self, asked: argparse.Namespace) -> None:
        """Waits until so many instances of a group are in a lifecycle state."""
        end = time.monotonic() + _WAIT_S
        while True:
            members = [one for one in self.control("GET", "instances") if one["group"] == asked.pool]
            found = sum(one["lifecycle_state"] == asked.state for one in members)
            if found == asked.count:
                return
            if time.monotonic() > end:
                sys.exit(f"{found} of {asked.count} are {asked.state}")
            time.sleep(0.1)

    def complete(self, asked: argparse.Namespace) -> None:
        """Answers the hook that an instance waits for."""
        one = next((one for one in self.control("GET", "instances") if one["id"] == asked.instance), None)
        if one is None or not one["waits"]:
            sys.exit(f"{asked.instance} waits for no hook")
        for hook in one["waits"]:
            self.client("autoscaling").complete_lifecycle_action(
                AutoScalingGroupName=one["group"],
                LifecycleHookName=hook,
                InstanceId=asked.instance,
                LifecycleActionResult="ABANDON" if asked.abandon else "CONTINUE",
            )

    # What goes wrong

    def spot(self, asked: argparse.Namespace) -> None:
        """Tells a Spot instance that it is taken away in two minutes."""
        self.control("POST", f"instances/{asked.instance}/spot-interruption")

    def rebalance(self, asked: argparse.Namespace) -> None:
        """Tells an instance that it had better be replaced."""
        self.control("POST", f"instances/{asked.instance}/rebalance")

    def node(self, asked: argparse.Namespace) -> None:
        """Has the machine of an instance die, its agent crash, hang or wake."""
        self.control("POST", f"instances/{asked.instance}/{asked.what}")

    def zone(self, asked: argparse.Namespace) -> None:
        """Has a zone go dark or silent, or be well again."""
        for instance in self.control("POST", f"zones/{asked.zone}/{asked.what}")["instances"]:
            print(instance)

    def fault(self, asked: argparse.Namespace) -> None:
        """Orders something to go wrong: `fault call action=DescribeInstances times=3`."""
        says = dict(word.split("=", 1) for word in asked.says)
        numbers = {
            name: json.loads(says.pop(name)) for name in ("times", "seconds", "status", "delay_s") if name in says
        }
        print(self.control("POST", "faults", kind=asked.kind, **says, **numbers)["number"])

    def heal(self, _: argparse.Namespace) -> None:
        """Takes all faults back."""
        self.control("DELETE", "faults")

    def advance(self, asked: argparse.Namespace) -> None:
        """Moves the clock of the region ahead."""
        print(self.control("POST", "clock", advance_s=asked.seconds)["now"])

    def set(self, asked: argparse.Namespace) -> None:
        """Changes a setting: `set boot_s=20`."""
        name, value = asked.setting.split("=", 1)
        print(json.dumps(self.control("POST", "settings", **{name: float(value)}), indent=2))


def _user_data(pool: str) -> str:
    """Where the coordinator is, and how an instance gets a token to join it."""
    wharf = shutil.which("wharf")
    if wharf is None:
        sys.exit("wharf is not in PATH")
    shown = subprocess.run([wharf, "context", "ls", "-o", "json"], capture_output=True, text=True, check=True).stdout
    current = next((context for context in json.loads(shown) if context["current"]), None)
    if current is None:
        sys.exit("there is no context to join: wharf dev --detach")
    return (
        f"WHARF_ADDR={current['addr']}\n"
        f"REGION_TOKEN_COMMAND={wharf} token create --node $WHARF_NODE --pool {pool}\n"
        "REGION_AGENT_ARGUMENTS=--prefer-local-images\n"
    )


# What follows each command.
_ARGUMENTS: dict[str, list[tuple[tuple[str, ...], dict[str, Any]]]] = {
    "where": [],
    "env": [],
    "ls": [
        (("pool",), {"nargs": "?"}),
        (("-a", "--all"), {"action": "store_true", "help": "those that are terminated too"}),
        (("-q", "--quiet"), {"action": "store_true", "help": "ids alone"}),
    ],
    "events": [],
    "logs": [(("instance",), {})],
    "pool": [
        (("name",), {}),
        (("size",), {"type": int}),
        (("--max",), {"type": int, "default": 20}),
        (("--spot",), {"action": "store_true"}),
        (("--hook",), {"action": "store_true", "help": "instances wait for an answer before they end"}),
    ],
    "scale": [(("pool",), {}), (("size",), {"type": int})],
    "wait": [(("pool",), {}), (("state",), {}), (("count",), {"type": int})],
    "complete": [(("instance",), {}), (("--abandon",), {"action": "store_true"})],
    "spot": [(("instance",), {})],
    "rebalance": [(("instance",), {})],
    "node": [(("instance",), {}), (("what",), {"choices": ["die", "crash", "hang", "wake"]})],
    "zone": [(("zone",), {}), (("what",), {"choices": ["dark", "silent", "well"]})],
    "fault": [(("kind",), {}), (("says",), {"nargs": "*", "metavar": "NAME=VALUE"})],
    "heal": [],
    "advance": [(("seconds",), {"type": float})],
    "set": [(("setting",), {"metavar": "NAME=SECONDS"})],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="wharf-region", usage="wharf-region COMMAND ...")
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, arguments in _ARGUMENTS.items():
        command = commands.add_parser(name, help=getattr(Tour, name).__doc__)
        for names, options in arguments:
            command.add_argument(*names, **options)
    asked = parser.parse_args()
    getattr(Tour(asked.folder), asked.command)(asked)


main()
