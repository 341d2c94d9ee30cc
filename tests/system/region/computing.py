"""The actions of EC2 that moto lacks or has otherwise: images, launch templates, root volumes, tokens."""

from __future__ import annotations

import copy
import re
import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.amis import Ami
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response
from moto.ec2.utils import parse_user_data, random_ami_id

from . import calls, clock, instances, lag
from .errors import Refused
from .world import SETTINGS

_IMAGE_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")

# What was answered to a call with a client token.
_TOKENS: dict[tuple[Any, ...], tuple[Any, Any]] = {}

# Root volumes that are being replaced.
_TASKS: dict[str, dict[str, Any]] = {}


class _Actions:
    """Put onto moto's response class, one function for each action."""

    def run_instances(self) -> ActionResult:
        token = self._get_param("ClientToken")
        asked = copy.deepcopy(dict(self.params))
        return _once(self, ("run", token) if token else None, asked, lambda: _before["run_instances"](self))

    def describe_instances(self) -> ActionResult:
        with lag.seen("DescribeInstances"):
            return _before["describe_instances"](self)

    def describe_instance_status(self) -> ActionResult:
        with lag.seen("DescribeInstanceStatus"):
            return _before["describe_instance_status"](self)

    # Images

    def create_image(self) -> ActionResult:
        self.error_on_dryrun()
        ec2, name = self.ec2_backend, self._get_param("Name")
        if not _IMAGE_NAME.fullmatch(name):
            raise Refused("InvalidAMIName.Malformed", f"AMI names must be between 3 and 128 characters long: {name}")
        _need_free_name(ec2, name)
        instance = ec2.get_instance(self._get_param("InstanceId"))
        if instance.state not in ("running", "stopped"):
            raise _wrong_state(instance, "running or stopped")
        image = _image_of(ec2, instance, name, self._get_param("Description", ""))
        for specification in self._get_param("TagSpecifications", []):
            tagged = {"image": image, "snapshot": image.ebs_snapshot}[specification["ResourceType"]]
            tagged.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        image.state = "pending"
        reboots = instance.state == "running" and not self._get_bool_param("NoReboot", False)
        instances.take_image(instance, image.id, reboots, lambda taken: _settle_later(image, taken))
        ec2.amis[image.id] = image
        return ActionResult({"ImageId": image.id})

    def copy_image(self) -> ActionResult:
        _need_free_name(self.ec2_backend, self._get_param("Name"))
        answer = _before["copy_image"](self)
        image = self.ec2_backend.amis[answer.result["ImageId"]]
        _settle_later(image)
        for specification in self._get_param("TagSpecifications", []):
            image.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        return answer

    def deregister_image(self) -> ActionResult:
        ec2, image_id = self.ec2_backend, self._get_param("ImageId")
        image = ec2.amis.get(image_id)
        if getattr(image, "deregistration_protection", "disabled") == "enabled":
            raise Refused("OperationNotPermitted", f"The image {image_id} has deregistration protection enabled.")
        _before["deregister_image"](self)
        results = []
        if image is not None and self._get_bool_param("DeleteAssociatedSnapshots", False):
            snapshot = image.ebs_snapshot.id
            shared = any(other.ebs_snapshot.id == snapshot for other in ec2.amis.values())
            if not shared:
                ec2.snapshots.pop(snapshot, None)
            results.append({"SnapshotId": snapshot, "ReturnCode": "skipped" if shared else "success"})
        return ActionResult({"Return": True, "DeleteSnapshotResults": results})

    def enable_image_deprecation(self) -> ActionResult:
        _image(self).deprecation_time = self._get_param("DeprecateAt").strftime("%Y-%m-%dT%H:%M:00.000Z")
        return ActionResult({"Return": True})

    def disable_image_deprecation(self) -> ActionResult:
        _image(self).deprecation_time = None
        return ActionResult({"Return": True})

    def enable_image_deregistration_protection(self) -> ActionResult:
        _image(self).deregistration_protection = "enabled"
        return ActionResult({"Return": "true"})

    def disable_image_deregistration_protection(self) -> ActionResult:
        _image(self).deregistration_protection = "disabled"
        return ActionResult({"Return": "true"})

    # Root volumes

    def create_replace_root_volume_task(self) -> ActionResult:
        token = self._get_param("ClientToken")
        asked = copy.deepcopy(dict(self.params))
        return _once(self, ("root", token) if token else None, asked, lambda: _replace_root(self))

    def describe_replace_root_volume_tasks(self) -> ActionResult:
        wanted = self._get_param("ReplaceRootVolumeTaskIds", [])
        found = [task for name, task in _TASKS.items() if not wanted or name in wanted]
        return ActionResult({"ReplaceRootVolumeTasks": found})

    # Launch templates

    def create_launch_template_version(self) -> ActionResult:
        template, token = _template(self), self._get_param("ClientToken")
        asked = copy.deepcopy(dict(self.params))
        key = ("version", template.id, token) if token else None
        return _once(self, key, asked, lambda: _new_version(self, template))

    def delete_launch_template_versions(self) -> ActionResult:
        template = _template(self)
        gone, kept = [], []
        for number in map(int, self._get_param("Versions", [])):
            row = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": number}
            if number == template.default_version_number:
                why = {
                    "Code": "unexpectedError",
                    "Message": "You cannot delete the default version of a launch template.",
                }
                kept.append({**row, "ResponseError": why})
            else:
                # The number is never used again.
                template.__dict__.setdefault("deleted", set()).add(number)
                gone.append(row)
        return ActionResult(
            {"SuccessfullyDeletedLaunchTemplateVersions": gone, "UnsuccessfullyDeletedLaunchTemplateVersions": kept}
        )

    def describe_launch_template_versions(self) -> ActionResult:
        answer = _before["describe_launch_template_versions"](self)
        deleted = {
            (template.id, number)
            for template in self.ec2_backend.launch_templates.values()
            for number in _deleted(template)
        }
        rows = answer.result["LaunchTemplateVersions"]
        left = [row for row in rows if (row["LaunchTemplateId"], row["VersionNumber"]) not in deleted]
        return ActionResult({"LaunchTemplateVersions": left})


def _once(response: EC2Response, key: tuple[Any, ...] | None, asked: Any, perform: Any) -> Any:
    """The same token with the same parameters is answered as before, with others refused."""
    if key is None:
        return perform()
    if key not in _TOKENS:
        _TOKENS[key] = (asked, perform())
    was, answer = _TOKENS[key]
    if was != asked:
        raise Refused("IdempotentParameterMismatch", "The request uses the same client token with other parameters.")
    return answer


def _wrong_state(instance: Any, wanted: str) -> Refused:
    return Refused("IncorrectInstanceState", f"The instance '{instance.id}' is {instance.state} and not {wanted}.")


def _need_free_name(ec2: Any, name: str) -> None:
    for image in ec2.amis.values():
        if image.name == name and image.owner_id == ec2.account_id:
            raise Refused("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")


def _image_of(ec2: Any, instance: Any, name: str, description: str) -> Ami:
    about = f"Created by CreateImage({instance.id})"
    image = Ami(ec2, random_ami_id(), instance=instance, name=name, description=description, snapshot_description=about)
    image.source_image_id = instance.image_id
    image.root_device_type = "ebs"
    return image


def _settle_later(image: Ami, is_taken: bool = True) -> None:
    image.state = "pending"

    def available() -> None:
        image.state = "available" if is_taken else "failed"

    if SETTINGS.snapshot_s > 0:
        clock.after(SETTINGS.snapshot_s, available)
    else:
        available()


def _image(response: EC2Response) -> Ami:
    return response.ec2_backend.describe_images(ami_ids=[response._get_param("ImageId")])[0]


def _replace_root(response: EC2Response) -> ActionResult:
    ec2, image = response.ec2_backend, response._get_param("ImageId")
    instance = ec2.get_instance(response._get_param("InstanceId"))
    if instance.state != "running":
        raise _wrong_state(instance, "running")
    if image:
        ec2.describe_images(ami_ids=[image])
    task = {
        "ReplaceRootVolumeTaskId": f"replacevol-{uuid.uuid4().hex[:17]}",
        "InstanceId": instance.id,
        "ImageId": image or instance.image_id,
        "TaskState": "pending",
        "DeleteReplacedRootVolume": response._get_bool_param("DeleteReplacedRootVolume", False),
        "StartTime": clock.stamp(),
    }
    _TASKS[task["ReplaceRootVolumeTaskId"]] = task

    def progress() -> None:
        task["TaskState"] = "in-progress"

    def succeed() -> None:
        task["TaskState"], task["CompleteTime"] = "succeeded", clock.stamp()
        instance.image_id, instance.booted_at = task["ImageId"], clock.now()
        instances.root_replaced(instance)

    clock.after(SETTINGS.root_volume_s / 2, progress)
    clock.after(SETTINGS.root_volume_s, succeed)
    return ActionResult({"ReplaceRootVolumeTask": dict(task)})


def _template(response: EC2Response) -> LaunchTemplate:
    name, template_id = response._get_param("LaunchTemplateName"), response._get_param("LaunchTemplateId")
    ec2 = response.ec2_backend
    return ec2.get_launch_template(template_id) if template_id else ec2.get_launch_template_by_name(name)


def _new_version(response: EC2Response, template: LaunchTemplate) -> ActionResult:
    """What is not given comes from the source version."""
    data = dict(response.params.get("LaunchTemplateData") or {})
    if data.get("UserData"):
        data["UserData"] = parse_user_data(data["UserData"])
    if source := response._get_param("SourceVersion"):
        data = {**copy.deepcopy(dict(template.get_version(source).data)), **data}
    response.params["LaunchTemplateData"] = data
    return _before["create_launch_template_version"](response)


def _deleted(template: LaunchTemplate) -> set[int]:
    return template.__dict__.get("deleted", set())


def _version(template: LaunchTemplate, number: Any) -> Any:
    found = _version_before(template, number)
    if found.number in _deleted(template):
        message = f"Could not find the specified version {number} for the launch template with ID {template.id}."
        raise Refused("InvalidLaunchTemplateId.VersionNotFound", message)
    return found


_before: dict[str, Any] = {}
_version_before: Any = None


def install() -> None:
    global _version_before
    instances.install()
    _before.update(calls.replace(EC2Response, _Actions))
    _version_before, LaunchTemplate.get_version = LaunchTemplate.get_version, _version
