"""EC2: instances that boot and end, images, versions of launch templates, root volumes."""

from __future__ import annotations

import urllib.error
import urllib.request

from .case import IMAGE, RegionCase, endpoint


class Instances(RegionCase):
    def test_booting_takes_as_long_as_it_is_set_to(self) -> None:
        self.set(boot_s=100)
        group = self.group(1)
        one = self.members(group)[0]["InstanceId"]
        self.assertEqual((self.state(one), self.states(group)), ("pending", ["Pending"]))
        self.advance(101)
        self.until(lambda: (self.state(one), self.states(group)), ("running", ["InService"]))

    def test_a_token_launches_once(self) -> None:
        template = {"LaunchTemplateName": self.template(IamInstanceProfile={"Name": "web"})}
        asked = {"LaunchTemplate": template, "MinCount": 1, "MaxCount": 1, "ClientToken": self.name("token")}
        one = self.ec2.run_instances(**asked)["Instances"][0]
        self.assertTrue(one["IamInstanceProfile"]["Arn"].endswith("instance-profile/web"))
        self.assertEqual(self.ec2.run_instances(**asked)["Instances"][0]["InstanceId"], one["InstanceId"])
        self.refused("IdempotentParameterMismatch", self.ec2.run_instances, **{**asked, "MinCount": 2, "MaxCount": 2})

    def test_what_is_unknown_is_an_error_that_an_sdk_understands(self) -> None:
        self.refused("InvalidInstanceID.NotFound", self.ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"])
        self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=["ami-0123456789abcdef0"])
        self.refused("InvalidAction", self.ec2.describe_mac_hosts)
        self.refused(
            "ValidationError",
            self.scaling.terminate_instance_in_auto_scaling_group,
            InstanceId="i-0123456789abcdef0",
            ShouldDecrementDesiredCapacity=False,
        )
        with self.assertRaises(urllib.error.HTTPError) as caught:
            signed = (
                "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
            )
            asked = urllib.request.Request(endpoint(), b"Action=MakeCoffee&Version=2016-11-15")
            asked.add_header("authorization", signed)
            urllib.request.urlopen(asked)
        self.assertIn("<Code>InvalidAction</Code>", caught.exception.read().decode())
        self.refused("ValidationError", self.scaling.describe_policies, AutoScalingGroupName="nowhere")


class Images(RegionCase):
    def test_an_image_goes_from_pending_to_deregistered(self) -> None:
        self.set(snapshot_s=30)
        one = self.ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        name, tags = self.name("image"), [{"Key": "bake", "Value": "7"}]
        specifications = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
        asked = {"InstanceId": one, "Name": name}
        image = self.ec2.create_image(**asked, TagSpecifications=specifications)["ImageId"]
        self.refused("InvalidAMIName.Duplicate", self.ec2.create_image, **asked)

        def shown() -> dict:
            return self.ec2.describe_images(ImageIds=[image])["Images"][0]

        self.assertEqual(shown()["State"], "pending")
        self.advance(31)
        self.until(lambda: shown()["State"], "available")
        snapshot = shown()["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        self.assertEqual(self.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["Tags"], tags)
        self.ec2.enable_image_deregistration_protection(ImageId=image)
        self.refused("OperationNotPermitted", self.ec2.deregister_image, ImageId=image)
        self.ec2.disable_image_deregistration_protection(ImageId=image)
        self.ec2.enable_image_deprecation(ImageId=image, DeprecateAt="2031-01-01T00:00:00Z")
        self.assertEqual(shown()["DeprecationTime"], "2031-01-01T00:00:00.000Z")
        self.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
        self.refused("InvalidSnapshot.NotFound", self.ec2.describe_snapshots, SnapshotIds=[snapshot])

    def test_public_parameters_name_images_that_are_there(self) -> None:
        from .case import client

        name = "/aws/service/debian/release/13/latest/amd64"
        value = client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        self.assertEqual(self.ec2.describe_images(ImageIds=[value])["Images"][0]["Name"], "debian-13-amd64")


class Templates(RegionCase):
    def test_a_version_begins_with_its_source_and_its_number_is_used_once(self) -> None:
        name = self.template(UserData="V0hBUkZfQUREUj14")
        asked = {
            "LaunchTemplateName": name,
            "SourceVersion": "1",
            "ClientToken": self.name("token"),
            "LaunchTemplateData": {"ImageId": IMAGE},
        }
        made = self.ec2.create_launch_template_version(**asked)["LaunchTemplateVersion"]
        self.assertEqual((made["VersionNumber"], made["LaunchTemplateData"]["InstanceType"]), (2, "t3.small"))
        again = self.ec2.create_launch_template_version(**asked)["LaunchTemplateVersion"]
        self.assertEqual(again["VersionNumber"], 2)
        answer = self.ec2.delete_launch_template_versions(LaunchTemplateName=name, Versions=["1", "2"])
        gone = [row["VersionNumber"] for row in answer["SuccessfullyDeletedLaunchTemplateVersions"]]
        kept = [row["VersionNumber"] for row in answer["UnsuccessfullyDeletedLaunchTemplateVersions"]]
        self.assertEqual((gone, kept), ([2], [1]))
        left = self.ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
        self.assertEqual([version["VersionNumber"] for version in left], [1])
        three = {**asked, "ClientToken": self.name("token"), "LaunchTemplateData": {"UserData": "V0hBUkZfQUREUj15"}}
        self.assertEqual(self.ec2.create_launch_template_version(**three)["LaunchTemplateVersion"]["VersionNumber"], 3)
        group = self.group(1, LaunchTemplate={"LaunchTemplateName": name, "Version": "3"})
        self.assertEqual(self.imds(self.members(group)[0]["InstanceId"], "user-data"), "WHARF_ADDR=y")


class RootVolumes(RegionCase):
    def test_a_root_volume_is_replaced_and_the_instance_has_another_image(self) -> None:
        self.set(root_volume_s=10)
        one = self.ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        image = self.ec2.create_image(InstanceId=one, Name=self.name("image"))["ImageId"]
        task = self.ec2.create_replace_root_volume_task(InstanceId=one, ImageId=image)["ReplaceRootVolumeTask"]

        def state() -> str:
            ids = [task["ReplaceRootVolumeTaskId"]]
            answer = self.ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=ids)
            return answer["ReplaceRootVolumeTasks"][0]["TaskState"]

        self.assertEqual(state(), "pending")
        self.advance(6)
        self.until(state, "in-progress")
        self.advance(6)
        self.until(state, "succeeded")
        self.assertEqual(self.instance(one)["ImageId"], image)
