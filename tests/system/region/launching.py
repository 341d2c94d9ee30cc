"""What a group launches, where, and what keeps it from that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.autoscaling import models

from . import faults, refreshes
from .errors import Refused
from .members import Member

SPOT, ON_DEMAND = "spot", "on-demand"


@dataclass
class Plan:
    """One way to launch an instance."""

    template: Any
    version: Any
    type: str
    image: str
    weight: int | None
    market: str


@dataclass
class Failure:
    """Why nothing was launched in one place."""

    code: str
    message: str
    type: str
    market: str
    zone: str
    subnet: str | None


def plans(group: models.FakeAutoScalingGroup) -> list[Plan]:
    """The ways to launch the next instance, the preferred one first."""
    configuration = refreshes.configuration(group)
    policy = configuration.get("MixedInstancesPolicy")
    if not policy:
        return [_plan(group, configuration["LaunchTemplate"], {}, None)]
    market = _market(group, policy.get("InstancesDistribution") or {})
    base = policy["LaunchTemplate"]["LaunchTemplateSpecification"]
    overrides = policy["LaunchTemplate"].get("Overrides") or [{}]
    return [_plan(group, one.get("LaunchTemplateSpecification") or base, one, market) for one in overrides]


def _plan(group: Any, specification: dict[str, Any], override: dict[str, Any], market: str | None) -> Plan:
    ec2 = group.ec2_backend
    if specification.get("LaunchTemplateId"):
        template = ec2.get_launch_template(specification["LaunchTemplateId"])
    else:
        template = ec2.get_launch_template_by_name(specification["LaunchTemplateName"])
    version = template.get_version(specification.get("Version") or "$Default")
    asks = (version.data.get("InstanceMarketOptions") or {}).get("MarketType")
    weight = override.get("WeightedCapacity")
    return Plan(
        template,
        version,
        override.get("InstanceType") or version.instance_type,
        override.get("ImageId") or _resolved(group, version.image_id),
        int(weight) if weight else None,
        market or (SPOT if asks == "spot" else ON_DEMAND),
    )


def _resolved(group: Any, image: str) -> str:
    """The image that a parameter names at this moment."""
    if not image.startswith("resolve:ssm:"):
        return image
    from moto.ssm.models import ssm_backends

    name = image.removeprefix("resolve:ssm:")
    parameter = ssm_backends[group.account_id][group.region].get_parameter(name)
    return parameter.value if parameter else image


def _market(group: Any, distribution: dict[str, Any]) -> str:
    """On demand up to the base, then in the ratio of the policy."""
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    percent = distribution.get("OnDemandPercentageAboveBaseCapacity")
    percent = 100 if percent is None else int(percent)
    members = group.active_instances()
    on_demand = sum(member.units for member in members if member.instance.lifecycle != SPOT)
    above = sum(member.units for member in members) + 1 - base
    return ON_DEMAND if on_demand < base + above * percent / 100 else SPOT


def wanted(group: models.FakeAutoScalingGroup) -> tuple[Any, Any, Any]:
    """What the preferred plan comes to: template, version, image, as `Member.what`."""
    plan = plans(group)[0]
    return plan.template.id, str(plan.version.number), plan.image


def places(group: models.FakeAutoScalingGroup) -> list[tuple[str, str | None]]:
    """Zones and subnets of a group, the emptiest first."""
    subnets = [subnet for subnet in (group.vpc_zone_identifier or "").split(",") if subnet]
    if subnets:
        found = [(group.ec2_backend.get_subnet(subnet).availability_zone, subnet) for subnet in subnets]
    else:
        found = [(zone, None) for zone in dict.fromkeys(group.availability_zones)]
    zones = [member.instance.placement.zone for member in group.active_instances()]
    return sorted(found, key=lambda place: zones.count(place[0]))


def attempt(
    group: models.FakeAutoScalingGroup, where: list[tuple[str, str | None]] | None = None
) -> tuple[Member | None, list[Failure]]:
    """Launches one, in the first place and by the first plan that works."""
    failures = []
    for plan in plans(group):
        for zone, subnet in where or places(group):
            try:
                return _launch(group, plan, (zone, subnet)), failures
            except Refused as refusal:
                failures.append(Failure(refusal.code, refusal.message, plan.type, plan.market, zone, subnet))
    return None, failures


def _launch(group: Any, plan: Plan, place: tuple[str, str | None]) -> Member:
    zone, subnet = place
    _check(group, plan)
    tags = {**plan.version.instance_tags, **group.get_propagated_tags(), models.ASG_NAME_TAG: group.name}
    reservation = group.ec2_backend.run_instances(
        plan.image,
        1,
        plan.version.user_data,
        plan.version.security_groups,
        instance_type=plan.type,
        subnet_id=subnet,
        placement=zone,
        region_name=group.region,
        is_instance_type_default=False,
        associate_public_ip=None,
        tags={"instance": tags},
        instance_market_options="spot" if plan.market == SPOT else None,
        launch_template={"LaunchTemplateId": plan.template.id, "Version": str(plan.version.number)},
    )
    instance = reservation.instances[0]
    instance.autoscaling_group = group
    protected = group.new_instances_protected_from_scale_in
    member = Member(instance, "Pending", protected_from_scale_in=protected, autoscaling_group=group)
    member.template = {
        "LaunchTemplateId": plan.template.id,
        "LaunchTemplateName": plan.template.name,
        "Version": str(plan.version.number),
    }
    member.weight = plan.weight
    return member


def _check(group: Any, plan: Plan) -> None:
    says = faults.take("launch", group=group.name)
    if says is not None:
        raise Refused(says.get("code") or "Client.InternalError", says.get("message") or "Client error on launch.")
    image = group.ec2_backend.amis.get(plan.image)
    if image is None:
        raise Refused("InvalidAMIID.NotFound", f"The image id '[{plan.image}]' does not exist")
    if image.state != "available":
        raise Refused("InvalidAMIID.Unavailable", f"The image ID '{plan.image}' is not available")
