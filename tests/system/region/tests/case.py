"""A region in this process, shared by all tests; each has groups, queues and templates of its own."""

from __future__ import annotations

import itertools
import json
import os
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable

os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).parent.parent / "images.json")

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from region import server
from region.world import SETTINGS

IMAGE = "ami-d0000000000000003"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

_SOON_S = 30
_numbers = itertools.count(1)
_server: server.Server | None = None


def running() -> server.Server:
    global _server
    if _server is None:
        server.install()
        _server = server.Server(["127.0.0.1"], 0)
        _server.begin()
    return _server


def endpoint() -> str:
    return running().endpoints[0]


def client(service: str, **more: Any) -> Any:
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "secret", **more}
    once = Config(retries={"max_attempts": 1, "total_max_attempts": 1})
    return boto3.client(service, endpoint_url=endpoint(), region_name=SETTINGS.region, config=once, **keys)


class RegionCase(unittest.TestCase):
    def setUp(self) -> None:
        self.ec2, self.scaling, self.sqs, self.events = map(client, ("ec2", "autoscaling", "sqs", "events"))
        self.addCleanup(self.control, "DELETE", "faults")

    # The control endpoint

    def control(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{endpoint()}/control/{path}", json.dumps(body).encode(), method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def set(self, **values: float) -> None:
        was = SETTINGS.shown()
        self.control("POST", "settings", **values)
        self.addCleanup(self.control, "POST", "settings", **{name: was[name] for name in values})

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", advance_s=seconds)

    # Waiting

    def until(self, what: Callable[[], Any], wanted: Any = True) -> Any:
        end = time.monotonic() + _SOON_S
        while True:
            found = what()
            if found if wanted is True else found == wanted:
                return found
            self.assertLess(time.monotonic(), end, f"waited for {wanted!r} and found {found!r}")
            time.sleep(0.02)

    def refused(self, code: str, call: Callable[..., Any], **arguments: Any) -> str:
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        return error["Message"]

    # What tests begin with

    def name(self, kind: str) -> str:
        return f"{kind}-{next(_numbers)}"

    def template(self, **data: Any) -> str:
        name = self.name("template")
        data = {"ImageId": IMAGE, "InstanceType": "t3.small", **data}
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return name

    def subnets(self, count: int = 3) -> str:
        found = sorted(self.ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])
        return ",".join(subnet["SubnetId"] for subnet in found[:count])

    def group(self, size: int, **more: Any) -> str:
        name = self.name("group")
        asked = {"MinSize": 0, "MaxSize": 10, "DesiredCapacity": size, "VPCZoneIdentifier": self.subnets()}
        if "MixedInstancesPolicy" not in more and "LaunchTemplate" not in more:
            more["LaunchTemplate"] = {"LaunchTemplateName": self.template(), "Version": "1"}
        self.scaling.create_auto_scaling_group(AutoScalingGroupName=name, **{**asked, **more})
        self.addCleanup(self.delete_group, name)
        return name

    def delete_group(self, name: str) -> None:
        if self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]:
            self.scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)

    def hook(self, transition: str, **more: Any) -> dict[str, Any]:
        return {"LifecycleHookName": "hook", "LifecycleTransition": transition, "HeartbeatTimeout": 60, **more}

    def described(self, group: str) -> dict[str, Any]:
        return self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]

    def members(self, group: str) -> list[dict[str, Any]]:
        return self.described(group)["Instances"]

    def states(self, group: str) -> list[str]:
        return sorted(member["LifecycleState"] for member in self.members(group))

    def instance(self, instance_id: str) -> dict[str, Any]:
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    def state(self, instance_id: str) -> str:
        return self.instance(instance_id)["State"]["Name"]

    def queue(self) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=self.name("queue"))["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return url, attributes["QueueArn"]

    def rule(self, **pattern: Any) -> str:
        """Has a queue hear the events of a pattern; gives its URL."""
        (url, arn), name = self.queue(), self.name("rule")
        self.events.put_rule(Name=name, EventPattern=json.dumps(pattern), State="ENABLED")
        self.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        return url

    def messages(self, url: str) -> list[dict[str, Any]]:
        """All that is in a queue, taken out."""
        found = []
        while batch := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in batch:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def complete(self, group: str, instance_id: str, result: str = "CONTINUE", hook: str = "hook") -> None:
        self.scaling.complete_lifecycle_action(
            AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=instance_id, LifecycleActionResult=result
        )

    # The metadata service

    def imds(self, instance_id: str, path: str) -> str | int:
        """What it answers with a token; the status when that is no success."""
        base = f"{endpoint()}/imds/{instance_id}/latest"
        token = self._fetch("PUT", f"{base}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return self._fetch("GET", f"{base}/{path}", {"X-aws-ec2-metadata-token": str(token)})

    def _fetch(self, method: str, url: str, headers: dict[str, str]) -> str | int:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method)) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code
