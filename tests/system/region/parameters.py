"""The public parameters by which somebody finds the newest image of a distribution."""

from __future__ import annotations

from moto.ssm.models import Parameter, ssm_backends

from . import clock, instances
from .world import ACCOUNT, SETTINGS

_DEBIAN = "/aws/service/debian/release"
_AMAZON = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default"

# Parameter, and the name of the image that it gives.
PUBLIC = {
    f"{_DEBIAN}/12/latest/amd64": "debian-12-amd64",
    f"{_DEBIAN}/12/latest/arm64": "debian-12-arm64",
    f"{_DEBIAN}/13/latest/amd64": "debian-13-amd64",
    f"{_DEBIAN}/13/latest/arm64": "debian-13-arm64",
    f"{_AMAZON}-x86_64": "al2023-ami-2023.9-amd64",
    f"{_AMAZON}-arm64": "al2023-ami-2023.9-arm64",
}


def install() -> None:
    parameters = ssm_backends[ACCOUNT][SETTINGS.region]._parameters
    # moto's own name images that this region does not have.
    parameters.latest_amis_loaded = parameters.latest_ecs_amis_loaded = True
    images = {image.name: image.id for image in instances.backend().amis.values()}
    for name, image in PUBLIC.items():
        parameter = Parameter(
            account_id=ACCOUNT,
            name=name,
            value=images[image],
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=clock.now(),
            version=1,
            data_type="aws:ec2:image",
        )
        parameters[name].append(parameter)
