"""Everything that a test can order to go wrong does, as often as it was ordered."""

from __future__ import annotations

import time

from .case import TERMINATING, RegionCase, client


class Calls(RegionCase):
    def test_a_call_is_throttled_as_its_service_does_it(self) -> None:
        self.control("POST", "faults", kind="call", action="DescribeAutoScalingGroups", times=1)
        self.control("POST", "faults", kind="call", service="ec2", action="DescribeInstances", times=2)
        self.refused("Throttling", self.scaling.describe_auto_scaling_groups)
        self.refused("RequestLimitExceeded", self.ec2.describe_instances)
        self.refused("RequestLimitExceeded", self.ec2.describe_instances)
        self.scaling.describe_auto_scaling_groups()
        self.ec2.describe_instances()

    def test_a_call_fails_with_any_error_before_or_after_it_is_done(self) -> None:
        ssm = client("ssm")
        self.control(
            "POST", "faults", kind="call", action="GetParameter", code="InternalServerError", status=500, times=1
        )
        self.refused("InternalServerError", ssm.get_parameter, Name="/x")
        self.refused("ParameterNotFound", ssm.get_parameter, Name="/x")
        group = self.group(1)
        answer = {"code": "InternalFailure", "status": 500, "times": 1}
        self.control("POST", "faults", kind="call", action="SetDesiredCapacity", after=True, **answer)
        asked = {"AutoScalingGroupName": group, "DesiredCapacity": 2}
        self.refused("InternalFailure", self.scaling.set_desired_capacity, **asked)
        self.assertEqual(self.described(group)["DesiredCapacity"], 2)

    def test_a_call_takes_its_time(self) -> None:
        self.control("POST", "faults", kind="call", action="DescribeVpcs", delay_s=0.3, times=1)
        began = time.monotonic()
        self.ec2.describe_vpcs()
        self.assertGreater(time.monotonic() - began, 0.3)

    def test_a_describe_lags(self) -> None:
        group = self.group(1)
        self.control("POST", "faults", kind="lag", seconds=20)
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=3)
        self.assertEqual((self.described(group)["DesiredCapacity"], len(self.members(group))), (1, 1))
        newest = [one["id"] for one in self.control("GET", "instances") if one["group"] == group][-1]
        self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances, InstanceIds=[newest])
        self.advance(21)
        self.until(lambda: len(self.members(group)), 3)
        self.assertEqual(self.state(newest), "running")

    def test_calls_are_counted(self) -> None:
        self.control("DELETE", "calls")
        self.ec2.describe_vpcs()
        self.ec2.describe_vpcs()
        self.assertEqual(self.control("GET", "calls"), {"ec2.DescribeVpcs": 2})


class Messages(RegionCase):
    def test_messages_are_lost_doubled_and_late(self) -> None:
        url, _ = self.queue()
        queue = url.rsplit("/", 1)[1]
        for effect in ("lose", "double", "delay"):
            self.control("POST", "faults", kind="message", queue=queue, effect=effect, delay_s=50, times=1)
        for number in range(4):
            self.sqs.send_message(QueueUrl=url, MessageBody=str(number))
        self.assertEqual(self.messages(url), [1, 1, 3])
        self.advance(51)
        self.assertEqual(self.messages(url), [2])

    def test_a_message_that_nobody_deletes_comes_again(self) -> None:
        url, _ = self.queue()
        self.sqs.send_message(QueueUrl=url, MessageBody="1")
        take = {"QueueUrl": url, "VisibilityTimeout": 30}
        self.assertEqual(len(self.sqs.receive_message(**take)["Messages"]), 1)
        self.assertNotIn("Messages", self.sqs.receive_message(**take))
        self.advance(31)
        self.assertEqual(len(self.sqs.receive_message(**take)["Messages"]), 1)


class Capacity(RegionCase):
    def test_a_zone_without_room_is_avoided(self) -> None:
        zone = self.ec2.describe_subnets(SubnetIds=[self.subnets(1)])["Subnets"][0]["AvailabilityZone"]
        self.control("POST", "faults", kind="capacity", zone=zone)
        group = self.group(3)
        self.assertNotIn(zone, {member["AvailabilityZone"] for member in self.members(group)})
        self.assertEqual(len(self.members(group)), 3)
        alone = self.group(1, VPCZoneIdentifier=self.subnets(1))
        self.assertEqual(self.members(alone), [])
        self.control("DELETE", "faults")
        self.until(lambda: self.states(alone), ["InService"])

    def test_a_launch_fails_for_any_reason(self) -> None:
        group = self.group(0)
        self.control(
            "POST", "faults", kind="launch", group=group, code="Client.InternalError", message="No key.", times=3
        )
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
        activity = self.scaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"][0]
        self.assertEqual((activity["StatusCode"], "No key." in activity["StatusMessage"]), ("Failed", True))
        self.until(lambda: self.states(group), ["InService"])

    def test_a_zone_goes_dark_and_its_members_come_up_elsewhere(self) -> None:
        group = self.group(3, LifecycleHookSpecificationList=[self.hook(TERMINATING)])
        lost = self.members(group)[0]
        zone = lost["AvailabilityZone"]
        self.assertIn(lost["InstanceId"], self.control("POST", f"zones/{zone}/dark")["instances"])
        self.assertEqual(self.state(lost["InstanceId"]), "terminated")
        self.until(lambda: self.states(group), ["InService"] * 3 + ["Terminating:Wait"])
        serving = [member for member in self.members(group) if member["LifecycleState"] == "InService"]
        self.assertNotIn(zone, {member["AvailabilityZone"] for member in serving})
        self.control("POST", f"zones/{zone}/well")

    def test_what_nobody_knows_is_refused(self) -> None:
        import urllib.error

        wrong = ({"kind": "flood"}, {"kind": "call", "zone": "a"})
        for body in wrong:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.control("POST", "faults", **body)
            self.assertEqual(caught.exception.code, 400)

    def test_a_fault_that_names_nothing_concerns_everything(self) -> None:
        group = self.group(0)
        for kind in ("capacity", "launch"):
            self.control("POST", "faults", kind=kind)
            self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
            self.assertEqual(self.members(group), [])
            self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
            self.control("DELETE", "faults")
