"""Instance refreshes replace members, stop at checkpoints, and go back."""

from __future__ import annotations

from typing import Any

from .case import RegionCase


class Refreshes(RegionCase):
    def setUp(self) -> None:
        super().setUp()
        template = self.template()
        self.ec2.create_launch_template_version(
            LaunchTemplateName=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
        )
        self.newer = {"LaunchTemplate": {"LaunchTemplateName": template, "Version": "2"}}
        self.pool = self.group(3, LaunchTemplate={"LaunchTemplateName": template, "Version": "1"})

    def refresh(self, **preferences: Any) -> None:
        self.scaling.start_instance_refresh(
            AutoScalingGroupName=self.pool, DesiredConfiguration=self.newer, Preferences=preferences
        )

    def last(self) -> dict[str, Any]:
        return self.scaling.describe_instance_refreshes(AutoScalingGroupName=self.pool)["InstanceRefreshes"][0]

    def status(self) -> str:
        return self.last()["Status"]

    def versions(self) -> list[str]:
        return sorted(member["LaunchTemplate"]["Version"] for member in self.members(self.pool))

    def test_all_members_are_replaced_and_the_group_follows(self) -> None:
        self.refresh(MinHealthyPercentage=100, MaxHealthyPercentage=134, AutoRollback=True, BakeTime=30)
        self.refused("InstanceRefreshInProgress", self.scaling.start_instance_refresh, AutoScalingGroupName=self.pool)
        self.until(self.status, "Baking")
        self.advance(31)
        self.until(self.status, "Successful")
        self.assertEqual(self.versions(), ["2"] * 3)
        self.assertEqual(self.described(self.pool)["LaunchTemplate"]["Version"], "2")

    def test_it_stops_at_a_checkpoint_and_rolls_back(self) -> None:
        self.refresh(MinHealthyPercentage=66, CheckpointPercentages=[33, 100], CheckpointDelay=600)
        self.until(lambda: self.last()["PercentageComplete"], 33)
        self.until(self.versions, ["1", "1", "2"])
        self.scaling.rollback_instance_refresh(AutoScalingGroupName=self.pool)
        self.until(self.status, "RollbackSuccessful")
        self.assertEqual(self.versions(), ["1"] * 3)
        self.refused(
            "ActiveInstanceRefreshNotFound", self.scaling.cancel_instance_refresh, AutoScalingGroupName=self.pool
        )

    def test_it_is_cancelled_where_it_is(self) -> None:
        self.refresh(MinHealthyPercentage=66, CheckpointPercentages=[33, 100], CheckpointDelay=600)
        self.until(self.versions, ["1", "1", "2"])
        self.scaling.cancel_instance_refresh(AutoScalingGroupName=self.pool)
        self.until(self.status, "Cancelled")
        self.assertEqual(self.described(self.pool)["LaunchTemplate"]["Version"], "1")
