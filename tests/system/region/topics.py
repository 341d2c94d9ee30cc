"""SNS to HTTP endpoints as AWS does it: confirmed first, signed, with its headers."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from moto.core.responses import ActionResult
from moto.sns import models
from moto.sns.responses import SNSResponse

from . import calls, clock, deliveries
from .errors import Refused
from .world import SETTINGS

# What is signed, in this order; each only if the message has it.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}


class Signer:
    """The key with which all messages of this region are signed; made when it is first needed."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.file = f"SimpleNotificationService-{uuid.uuid4().hex}.pem"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2100, 1, 1))
        names = x509.SubjectAlternativeName([x509.DNSName("sns.amazonaws.com")])
        certificate = builder.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, message: dict[str, Any]) -> None:
        """Adds version, signature and where the certificate is."""
        lines = [f"{name}\n{message[name]}\n" for name in _SIGNED[message["Type"]] if message.get(name) is not None]
        digest = hashes.SHA256() if message["SignatureVersion"] == "2" else hashes.SHA1()
        signature = self.key.sign("".join(lines).encode(), padding.PKCS1v15(), digest)
        message["Signature"] = base64.b64encode(signature).decode()
        message["SigningCertURL"] = f"https://sns.{SETTINGS.region}.amazonaws.com/{self.file}"


_signer: Signer | None = None


def signer() -> Signer:
    global _signer
    _signer = _signer or Signer()
    return _signer


def certificate(file: str) -> bytes | None:
    """The certificate of that name, which AWS serves at the host of SNS and this region at its own."""
    return signer().certificate if file == signer().file else None


def _envelope(
    subscription: models.Subscription, kind: str, message: str, message_id: str, **more: Any
) -> dict[str, Any]:
    topic = subscription.topic
    envelope = {
        "Type": kind,
        "MessageId": message_id,
        "TopicArn": topic.arn,
        "Message": message,
        "Timestamp": clock.precise(),
        # Version 1 unless the topic says otherwise, as at AWS.
        "SignatureVersion": str(getattr(topic, "signature_version", None) or "1"),
        **{name: value for name, value in more.items() if value is not None},
    }
    signer().sign(envelope)
    return envelope


def _host() -> str:
    return f"https://sns.{SETTINGS.region}.amazonaws.com"


def _notification(
    subscription: models.Subscription,
    message: str,
    message_id: str,
    subject: str | None,
    message_attributes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """In place of moto's, which leaves the subject out of what it signs."""
    envelope = _envelope(subscription, "Notification", message, message_id, Subject=subject)
    envelope["UnsubscribeURL"] = f"{_host()}/?Action=Unsubscribe&SubscriptionArn={subscription.arn}"
    if message_attributes:
        envelope["MessageAttributes"] = message_attributes
    return envelope


def _post(subscription: models.Subscription, envelope: dict[str, Any], body: str | None = None) -> None:
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": envelope["Type"],
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
    }
    if envelope["Type"] == "Notification":
        headers["x-amz-sns-subscription-arn"] = subscription.arn
    if body is not None:
        headers["x-amz-sns-rawdelivery"] = "true"
    deliveries.post(subscription.endpoint, body or json.dumps(envelope, indent=2), headers)


def _is_http(subscription: models.Subscription) -> bool:
    return subscription.protocol in ("http", "https")


def _ask_for_confirmation(subscription: models.Subscription) -> None:
    subscription.token = uuid.uuid4().hex * 4
    subscription.confirmed = False
    subscription.attributes["PendingConfirmation"] = True
    arn = subscription.topic.arn
    url = f"{_host()}/?Action=ConfirmSubscription&TopicArn={arn}&Token={subscription.token}"
    told = f"You have chosen to subscribe to the topic {arn}.\nTo confirm the subscription, visit the SubscribeURL."
    message_id = str(uuid.uuid4())
    more = {"Token": subscription.token, "SubscribeURL": url}
    _post(subscription, _envelope(subscription, "SubscriptionConfirmation", told, message_id, **more))


class _Actions:
    def subscribe(self) -> ActionResult:
        known = set(self.backend.subscriptions)
        arn = _before["subscribe"](self).result["SubscriptionArn"]
        subscription = self.backend.subscriptions[arn]
        if _is_http(subscription) and arn not in known:
            _ask_for_confirmation(subscription)
        is_told = not _is_http(subscription) or subscription.confirmed or self._get_param("ReturnSubscriptionArn")
        return ActionResult({"SubscriptionArn": arn if is_told else "pending confirmation"})

    def confirm_subscription(self) -> ActionResult:
        topic, token = self._get_param("TopicArn"), self._get_param("Token")
        for subscription in self.backend.subscriptions.values():
            if subscription.topic.arn == topic and getattr(subscription, "token", None) == token:
                subscription.confirmed = True
                subscription.attributes["PendingConfirmation"] = False
                return ActionResult({"SubscriptionArn": subscription.arn})
        raise Refused("InvalidParameter", "Invalid parameter: Token")


_before: dict[str, Any] = {}


def install() -> None:
    _before.update(calls.replace(SNSResponse, _Actions))
    original = models.Subscription.publish

    def publish(subscription: Any, message: str, message_id: str, subject: str | None = None, **more: Any) -> None:
        if not _is_http(subscription):
            original(subscription, message, message_id, subject=subject, **more)
        elif subscription.confirmed:
            is_raw = str(subscription.attributes.get("RawMessageDelivery")).lower() == "true"
            attributes = more.get("message_attributes")
            envelope = _notification(subscription, message, message_id, subject, attributes)
            _post(subscription, envelope, message if is_raw else None)

    models.Subscription.publish = publish
    models.Subscription.get_post_data = _notification
