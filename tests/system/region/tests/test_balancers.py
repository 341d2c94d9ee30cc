"""Targets are registered by instance and port, drain when they leave, and are as healthy as a test says."""

from __future__ import annotations

from .case import RegionCase, client


class Targets(RegionCase):
    def setUp(self) -> None:
        super().setUp()
        self.balancer = client("elbv2")
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.target_group = self.name("targets")
        self.arn = self.balancer.create_target_group(
            Name=self.target_group, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance"
        )["TargetGroups"][0]["TargetGroupArn"]

    def health(self) -> list[tuple[str, int, str]]:
        found = self.balancer.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
        return sorted((one["Target"]["Id"], one["Target"]["Port"], one["TargetHealth"]["State"]) for one in found)

    def test_two_ports_of_an_instance_are_two_targets(self) -> None:
        one = self.members(self.group(1))[0]["InstanceId"]
        targets = [{"Id": one, "Port": port} for port in (8080, 8081)]
        self.balancer.register_targets(TargetGroupArn=self.arn, Targets=targets)
        self.assertEqual(self.health(), [(one, 8080, "healthy"), (one, 8081, "healthy")])
        self.control("POST", "targets", group=self.target_group, id=one, port=8081, state="unhealthy")
        self.assertEqual(self.health(), [(one, 8080, "healthy"), (one, 8081, "unhealthy")])
        self.balancer.deregister_targets(TargetGroupArn=self.arn, Targets=targets[:1])
        self.assertEqual(self.health()[0], (one, 8080, "draining"))
        self.advance(301)
        self.assertEqual(self.health(), [(one, 8081, "unhealthy")])
        answer = self.balancer.describe_target_health(TargetGroupArn=self.arn, Targets=targets[:1])
        health = answer["TargetHealthDescriptions"][0]["TargetHealth"]
        self.assertEqual((health["State"], health["Reason"]), ("unused", "Target.NotRegistered"))

    def test_members_of_a_group_are_registered_as_they_come_and_go(self) -> None:
        group = self.group(2, TargetGroupARNs=[self.arn])
        self.assertEqual([state for _, _, state in self.health()], ["healthy", "healthy"])
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
        self.assertEqual(sorted(state for _, _, state in self.health()), ["draining", "healthy"])

    def test_who_does_not_run_can_not_be_registered(self) -> None:
        unknown = [{"Id": "i-0123456789abcdef0"}]
        self.refused("InvalidTarget", self.balancer.register_targets, TargetGroupArn=self.arn, Targets=unknown)
