"""A group has as many members as it wants, where and from what it should."""

from __future__ import annotations

from .case import IMAGE, TERMINATING, RegionCase


class Sizes(RegionCase):
    def test_members_are_spread_over_the_zones(self) -> None:
        group = self.group(6)
        zones = [member["AvailabilityZone"] for member in self.members(group)]
        self.assertEqual(sorted(map(zones.count, set(zones))), [2, 2, 2])

    def test_what_is_wanted_has_to_be_within_the_bounds(self) -> None:
        group = self.group(2, MinSize=1, MaxSize=3)
        for capacity in (0, 4):
            self.refused(
                "ValidationError",
                self.scaling.set_desired_capacity,
                AutoScalingGroupName=group,
                DesiredCapacity=capacity,
            )
        self.scaling.update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=1)
        self.assertEqual((self.described(group)["DesiredCapacity"], len(self.members(group))), (1, 1))

    def test_a_member_that_ends_or_is_unhealthy_is_replaced(self) -> None:
        group = self.group(3)
        first, second, third = [member["InstanceId"] for member in self.members(group)]
        self.ec2.terminate_instances(InstanceIds=[first])
        self.ec2.stop_instances(InstanceIds=[second])
        self.scaling.set_instance_health(InstanceId=third, HealthStatus="Unhealthy")
        gone = {first, second, third}
        self.until(lambda: not gone & {member["InstanceId"] for member in self.members(group)})
        self.until(lambda: self.states(group), ["InService"] * 3)

    def test_a_group_may_be_slow_to_see_that_a_member_has_ended(self) -> None:
        self.set(health_s=60)
        group = self.group(1)
        one = self.members(group)[0]["InstanceId"]
        self.ec2.terminate_instances(InstanceIds=[one])
        self.assertEqual((self.state(one), self.states(group)), ("terminated", ["InService"]))
        self.advance(61)
        self.until(lambda: one in [member["InstanceId"] for member in self.members(group)], False)
        self.assertEqual(self.states(group), ["InService"])

    def test_a_decrement_takes_no_more_than_the_minimum_allows(self) -> None:
        group = self.group(2, MinSize=1)
        first, second = [member["InstanceId"] for member in self.members(group)]
        terminate = self.scaling.terminate_instance_in_auto_scaling_group
        terminate(InstanceId=first, ShouldDecrementDesiredCapacity=True)
        self.assertEqual(self.described(group)["DesiredCapacity"], 1)
        self.refused("ValidationError", terminate, InstanceId=second, ShouldDecrementDesiredCapacity=True)

    def test_scaling_in_spares_what_is_protected_and_takes_the_old_template_first(self) -> None:
        group = self.group(2, VPCZoneIdentifier=self.subnets(1))
        old, protected = [member["InstanceId"] for member in self.members(group)]
        self.scaling.set_instance_protection(
            AutoScalingGroupName=group, InstanceIds=[protected], ProtectedFromScaleIn=True
        )
        template = self.described(group)["LaunchTemplate"]["LaunchTemplateId"]
        self.ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={})
        newer = {"LaunchTemplateId": template, "Version": "2"}
        self.scaling.update_auto_scaling_group(AutoScalingGroupName=group, LaunchTemplate=newer, DesiredCapacity=3)
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
        left = {member["InstanceId"]: member["LaunchTemplate"]["Version"] for member in self.members(group)}
        self.assertNotIn(old, left)
        self.assertEqual(sorted(left.values()), ["1", "2"])

    def test_suspended_processes_do_nothing(self) -> None:
        group = self.group(1)
        self.scaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch"])
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
        self.assertEqual(len(self.members(group)), 1)
        self.scaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch"])
        self.until(lambda: len(self.members(group)), 2)

    def test_standby_members_are_not_counted(self) -> None:
        group = self.group(2)
        one = self.members(group)[0]["InstanceId"]
        enter = self.scaling.enter_standby
        enter(AutoScalingGroupName=group, InstanceIds=[one], ShouldDecrementDesiredCapacity=True)
        self.assertEqual(self.states(group), ["InService", "Standby"])
        self.refused(
            "ValidationError",
            enter,
            AutoScalingGroupName=group,
            InstanceIds=[one],
            ShouldDecrementDesiredCapacity=True,
        )
        self.scaling.exit_standby(AutoScalingGroupName=group, InstanceIds=[one])
        self.assertEqual(self.described(group)["DesiredCapacity"], 2)

    def test_a_group_with_members_is_deleted_by_force_only(self) -> None:
        group = self.group(1)
        member = self.members(group)[0]["InstanceId"]
        delete = self.scaling.delete_auto_scaling_group
        self.refused("ResourceInUse", delete, AutoScalingGroupName=group)
        delete(AutoScalingGroupName=group, ForceDelete=True)
        self.assertEqual(self.state(member), "terminated")


class Launches(RegionCase):
    def test_a_mixed_policy_is_kept_and_followed(self) -> None:
        policy = {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateName": self.template(), "Version": "1"},
                "Overrides": [
                    {"InstanceType": "m6g.large", "WeightedCapacity": "2"},
                    {"InstanceType": "m6g.xlarge", "WeightedCapacity": "4"},
                ],
            },
            "InstancesDistribution": {"OnDemandBaseCapacity": 2, "OnDemandPercentageAboveBaseCapacity": 0},
        }
        group = self.group(6, MixedInstancesPolicy=policy)
        found = [self.instance(member["InstanceId"]) for member in self.members(group)]
        self.assertEqual([one["InstanceType"] for one in found], ["m6g.large"] * 3)
        self.assertEqual(sorted(one.get("InstanceLifecycle", "") for one in found), ["", "spot", "spot"])
        self.scaling.update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=12)
        self.assertIn("MixedInstancesPolicy", self.described(group))
        self.control("POST", "faults", kind="capacity", type="m6g.large")
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=10)
        types = sorted(member["InstanceType"] for member in self.members(group))
        self.assertEqual(types, ["m6g.large"] * 3 + ["m6g.xlarge"])

    def test_an_image_is_resolved_when_an_instance_is_launched(self) -> None:
        parameter = "/aws/service/debian/release/13/latest/amd64"
        template = self.template(ImageId=f"resolve:ssm:{parameter}")
        group = self.group(1, LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"})
        member = self.members(group)[0]
        self.assertEqual(self.instance(member["InstanceId"])["ImageId"], IMAGE)
        self.assertEqual(member["LaunchTemplate"]["Version"], "1")

    def test_an_image_that_is_gone_makes_launches_fail_and_says_so(self) -> None:
        heard = self.rule(**{"detail-type": ["EC2 Instance Launch Unsuccessful"]})
        template = self.template(ImageId="ami-00000000000000000")
        group = self.group(1, LaunchTemplate={"LaunchTemplateName": template, "Version": "1"})
        self.assertEqual(self.members(group), [])
        activity = self.scaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"][-1]
        self.assertEqual(activity["StatusCode"], "Failed")
        self.assertIn("ami-00000000000000000", self.messages(heard)[0]["detail"]["StatusMessage"])

    def test_launch_instances_answers_with_ids_and_raises_what_is_desired(self) -> None:
        group, launch = self.group(1), self.scaling.launch_instances
        zone = self.described(group)["AvailabilityZones"][1]
        asked = {
            "AutoScalingGroupName": group,
            "RequestedCapacity": 2,
            "ClientToken": "once",
            "AvailabilityZones": [zone],
        }
        answer = launch(**asked)
        self.assertEqual(len(answer["Instances"][0]["InstanceIds"]), 2)
        self.assertEqual(answer["Instances"][0]["AvailabilityZone"], zone)
        self.assertEqual(self.described(group)["DesiredCapacity"], 3)
        self.assertEqual(launch(**asked)["Instances"], answer["Instances"])
        self.refused("IdempotentParameterMismatch", launch, **{**asked, "RequestedCapacity": 1})
        self.refused("ValidationError", launch, **{**asked, "ClientToken": "more", "RequestedCapacity": 8})
        self.assertEqual(len(self.members(group)), 3)

    def test_launch_instances_says_what_did_not_work(self) -> None:
        group = self.group(0, VPCZoneIdentifier=self.subnets(1))
        self.control("POST", "faults", kind="capacity", type="t3.small")
        launch = self.scaling.launch_instances
        answer = launch(AutoScalingGroupName=group, RequestedCapacity=1, ClientToken="one")
        self.assertEqual(answer["Errors"][0]["ErrorCode"], "InsufficientInstanceCapacity")
        self.assertEqual(self.described(group)["DesiredCapacity"], 0)
        again = "retry-with-group-configuration"
        launch(AutoScalingGroupName=group, RequestedCapacity=1, ClientToken="two", RetryStrategy=again)
        self.assertEqual(self.described(group)["DesiredCapacity"], 1)
        self.control("DELETE", "faults")
        self.until(lambda: self.states(group), ["InService"])


class WarmPools(RegionCase):
    def test_a_pool_is_prepared_drawn_from_and_dissolved(self) -> None:
        hook = self.hook(TERMINATING, DefaultResult="CONTINUE")
        group = self.group(1, MaxSize=3, LifecycleHookSpecificationList=[hook])
        self.scaling.put_warm_pool(AutoScalingGroupName=group, PoolState="Stopped")

        def pool() -> list[str]:
            answer = self.scaling.describe_warm_pool(AutoScalingGroupName=group)
            return [member["LifecycleState"] for member in answer["Instances"]]

        self.until(pool, ["Warmed:Stopped"] * 2)
        warm = self.scaling.describe_warm_pool(AutoScalingGroupName=group)["Instances"][0]["InstanceId"]
        self.assertEqual(self.state(warm), "stopped")
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
        self.until(lambda: warm in [member["InstanceId"] for member in self.members(group)])
        self.until(lambda: self.states(group), ["InService"] * 2)
        self.scaling.delete_warm_pool(AutoScalingGroupName=group, ForceDelete=True)
        self.until(pool, [])
        self.assertEqual(self.states(group), ["InService"] * 2)
