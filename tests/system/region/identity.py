"""Who an instance is: its identity document with the region's signature, and the credentials of its role."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from moto.sts.models import AssumedRole, sts_backends

from . import clock
from .world import ACCOUNT, SETTINGS

# How long credentials hold, and how long before their end there are new ones.
_HOLD_S, _EARLY_S = 6 * 3600, 300

# The role of an instance that has been given none, by which AWS itself knows it.
INSTANCE_ROLE = "aws:ec2-instance"


class Signer:
    """The key with which this region signs identity documents; AWS has one for each region."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names = [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Region in a box"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"identity documents of {SETTINGS.region}"),
        ]
        name = x509.Name(names)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2100, 1, 1))
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def sign(self, document: bytes) -> str:
        """PKCS #7 with the document inside and without the certificate, in base64, as `rsa2048` is."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(document)
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities, pkcs7.PKCS7Options.NoCerts]
        return base64.encodebytes(builder.sign(serialization.Encoding.DER, options)).decode().rstrip("\n")


_signer: Signer | None = None


def signer() -> Signer:
    global _signer
    _signer = _signer or Signer()
    return _signer


def certificate() -> bytes:
    return signer().certificate.public_bytes(serialization.Encoding.PEM)


def document(instance: Any) -> str:
    """Made anew whenever the instance has started."""
    values = {
        "accountId": ACCOUNT,
        "architecture": instance.architecture,
        "availabilityZone": instance.placement.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "pendingTime": clock.stamp(instance.booted_at),
        "privateIp": instance.private_ip,
        "ramdiskId": None,
        "region": SETTINGS.region,
        "version": "2017-09-30",
    }
    return json.dumps(values, indent=2)


def signature(instance: Any) -> str:
    return signer().sign(document(instance).encode())


def role(instance: Any) -> str | None:
    """The role of its instance profile; the profile's name where IAM does not know of it."""
    if not instance.iam_instance_profile:
        return None
    from moto.iam import iam_backends

    name = instance.iam_instance_profile["Arn"].split("/")[-1]
    for profile in iam_backends[ACCOUNT]["aws"].instance_profiles.values():
        if profile.name == name and profile.roles:
            return profile.roles[0].name
    return name


_given: dict[tuple[str, str], AssumedRole] = {}


def credentials(instance: Any, name: str) -> str:
    """What the metadata service says of a role: `GetCallerIdentity` with these is `assumed-role/NAME/INSTANCE`."""
    given = _given.get((instance.id, name))
    if given is None or given.expires_at - clock.now() < _EARLY_S:
        given = sts_backends[ACCOUNT]["aws"].assume_role(
            region_name=SETTINGS.region,
            role_session_name=instance.id,
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
            policy="",
            duration=_HOLD_S,
            external_id="",
        )
        given.given_at, given.expires_at = clock.now(), clock.now() + _HOLD_S
        _given[instance.id, name] = given
    values = {
        "Code": "Success",
        "LastUpdated": clock.stamp(given.given_at),
        "Type": "AWS-HMAC",
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "Token": given.session_token,
        "Expiration": clock.stamp(given.expires_at),
    }
    return json.dumps(values, indent=2)


def known(access_key_id: str) -> AssumedRole | None:
    """Whose credentials these are, if this region has given them to an instance."""
    return next((one for one in _given.values() if one.access_key_id == access_key_id), None)
