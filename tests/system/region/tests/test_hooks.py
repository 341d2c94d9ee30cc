"""Hooks hold an instance until somebody answers, or nobody has for too long."""

from __future__ import annotations

from .case import LAUNCHING, TERMINATING, RegionCase


class Launching(RegionCase):
    def test_instances_wait_and_are_continued_by_token_or_by_instance(self) -> None:
        heard = self.rule(source=["aws.autoscaling"])
        group = self.group(2, LifecycleHookSpecificationList=[self.hook(LAUNCHING, NotificationMetadata="pool")])
        self.assertEqual(self.states(group), ["Pending:Wait", "Pending:Wait"])
        told = [one for one in self.messages(heard) if one["detail"]["AutoScalingGroupName"] == group]
        self.assertEqual({one["detail-type"] for one in told}, {"EC2 Instance-launch Lifecycle Action"})
        detail = told[0]["detail"]
        self.assertEqual(
            (detail["Origin"], detail["Destination"], detail["NotificationMetadata"]),
            ("EC2", "AutoScalingGroup", "pool"),
        )
        self.assertEqual(told[0]["account"], "123456789012")
        self.scaling.complete_lifecycle_action(
            AutoScalingGroupName=group,
            LifecycleHookName="hook",
            LifecycleActionToken=detail["LifecycleActionToken"],
            LifecycleActionResult="CONTINUE",
        )
        self.assertEqual(self.states(group), ["InService", "Pending:Wait"])
        self.complete(group, told[1]["detail"]["EC2InstanceId"])
        self.assertEqual(self.states(group), ["InService", "InService"])

    def test_an_abandoned_launch_ends_and_is_replaced(self) -> None:
        group = self.group(1, LifecycleHookSpecificationList=[self.hook(LAUNCHING)])
        first = self.members(group)[0]["InstanceId"]
        self.complete(group, first, "ABANDON")
        self.assertEqual(self.state(first), "terminated")
        self.assertEqual(self.states(group), ["Pending:Wait"])
        why = self.refused("ValidationError", self.complete, group=group, instance_id=first)
        self.assertIn("No active Lifecycle Action found with instance ID", why)

    def test_heartbeats_put_the_end_off_but_not_for_ever(self) -> None:
        group = self.group(1, LifecycleHookSpecificationList=[self.hook(LAUNCHING)])
        first = self.members(group)[0]["InstanceId"]

        def beat() -> None:
            self.scaling.record_lifecycle_action_heartbeat(
                AutoScalingGroupName=group, LifecycleHookName="hook", InstanceId=first
            )

        for _ in range(3):
            self.advance(50)
            beat()
        self.assertEqual(self.members(group)[0]["InstanceId"], first)
        self.advance(61)
        self.until(lambda: first in [member["InstanceId"] for member in self.members(group)], False)

    def test_every_hook_of_a_transition_has_to_be_answered(self) -> None:
        other = self.hook(LAUNCHING) | {"LifecycleHookName": "other"}
        group = self.group(1, LifecycleHookSpecificationList=[self.hook(LAUNCHING), other])
        member = self.members(group)[0]["InstanceId"]
        self.complete(group, member)
        self.assertEqual(self.states(group), ["Pending:Wait"])
        self.complete(group, member, hook="other")
        self.assertEqual(self.states(group), ["InService"])


class Terminating(RegionCase):
    def test_a_member_waits_while_its_replacement_is_there(self) -> None:
        url, arn = self.queue()
        group = self.group(1)
        self.scaling.put_lifecycle_hook(
            AutoScalingGroupName=group,
            **self.hook(TERMINATING),
            NotificationTargetARN=arn,
            RoleARN="arn:aws:iam::1:role/r",
        )
        self.assertEqual(self.messages(url)[0]["Event"], "autoscaling:TEST_NOTIFICATION")
        old = self.members(group)[0]["InstanceId"]
        self.scaling.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=False)
        self.assertEqual(self.states(group), ["InService", "Terminating:Wait"])
        self.assertEqual(self.state(old), "running")
        self.assertEqual(self.messages(url)[0]["EC2InstanceId"], old)
        self.assertEqual(self.imds(old, "meta-data/autoscaling/target-lifecycle-state"), "Terminated")
        self.complete(group, old)
        self.assertEqual((self.states(group), self.state(old)), (["InService"], "terminated"))

    def test_an_abandoned_end_is_retained_where_the_group_says_so(self) -> None:
        policy = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
        group = self.group(1, InstanceLifecyclePolicy=policy, LifecycleHookSpecificationList=[self.hook(TERMINATING)])
        old = self.members(group)[0]["InstanceId"]
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
        self.complete(group, old, "ABANDON")
        self.assertEqual((self.states(group), self.state(old)), (["Terminating:Retained"], "running"))
        self.scaling.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=True)
        self.assertEqual((self.states(group), self.state(old)), ([], "terminated"))

    def test_a_default_result_is_taken_when_nobody_answers(self) -> None:
        group = self.group(1, LifecycleHookSpecificationList=[self.hook(TERMINATING, DefaultResult="CONTINUE")])
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
        self.assertEqual(self.states(group), ["Terminating:Wait"])
        self.advance(61)
        self.until(lambda: self.states(group), [])

    def test_what_a_hook_may_say_is_checked(self) -> None:
        group = self.group(0)
        for wrong in ({"HeartbeatTimeout": 7201}, {"DefaultResult": "PERHAPS"}, {"LifecycleTransition": "sideways"}):
            asked = self.hook(TERMINATING) | wrong
            self.refused("ValidationError", self.scaling.put_lifecycle_hook, AutoScalingGroupName=group, **asked)
        self.refused(
            "ValidationError", self.scaling.put_lifecycle_hook, AutoScalingGroupName="nowhere", **self.hook(TERMINATING)
        )

    def test_a_hook_that_is_deleted_holds_nobody(self) -> None:
        group = self.group(1, LifecycleHookSpecificationList=[self.hook(TERMINATING)])
        self.scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
        self.scaling.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName="hook")
        self.assertEqual(self.states(group), [])
