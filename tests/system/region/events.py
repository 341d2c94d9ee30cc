"""EventBridge: what the region says of itself, and what rules do with that."""

from __future__ import annotations

import json
import uuid
from typing import Any

from moto.events import models
from moto.events.utils import EventTemplateParser

from . import clock, deliveries
from .world import ACCOUNT, SETTINGS


def emit(source: str, detail_type: str, resources: list[str], detail: dict[str, Any]) -> None:
    """Gives an event to every rule of the default bus that wants it."""
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": clock.stamp(),
        "region": SETTINGS.region,
        "resources": resources,
        "detail": detail,
    }
    backend = models.events_backends[ACCOUNT][SETTINGS.region]
    for rule in list(backend.event_buses["default"].rules.values()):
        if rule.state == "ENABLED":
            _offer(rule, event)


def of_instance(detail_type: str, instance_id: str, **detail: Any) -> None:
    """An event of EC2 about one instance."""
    arn = f"arn:aws:ec2:{SETTINGS.region}:{ACCOUNT}:instance/{instance_id}"
    emit("aws.ec2", detail_type, [arn], {"instance-id": instance_id, **detail})


def _offer(rule: models.Rule, event: dict[str, Any]) -> None:
    # The pattern wants the time as a number.
    if rule.event_pattern.matches_event({**event, "time": clock.now()}):
        for target in rule.targets:
            _send(rule, target, _body(target, event))


def _body(target: dict[str, Any], event: dict[str, Any]) -> str:
    if target.get("Input"):
        return target["Input"]
    if transformer := target.get("InputTransformer"):
        parsed = EventTemplateParser.parse(
            transformer.get("InputTemplate"), transformer.get("InputPathsMap", {}), event
        )
        return parsed if isinstance(parsed, str) else json.dumps(parsed)
    return json.dumps(event)


def _send(rule: models.Rule, target: dict[str, Any], body: str) -> None:
    from moto.sns import sns_backends
    from moto.sqs import sqs_backends

    arn = target["Arn"]
    service, name = arn.split(":")[2], arn.split(":")[-1]
    if service == "sqs":
        group = target.get("SqsParameters", {}).get("MessageGroupId")
        sqs_backends[ACCOUNT][SETTINGS.region].send_message(queue_name=name, message_body=body, group_id=group)
    elif service == "sns":
        sns_backends[ACCOUNT][SETTINGS.region].topics[arn].publish(body)
    elif service == "events" and name.startswith("api-destination/"):
        _call_destination(rule, target, name.split("/")[1], body)


def _call_destination(rule: models.Rule, target: dict[str, Any], name: str, body: str) -> None:
    backend = models.events_backends[rule.account_id][rule.region_name]
    destination = backend.destinations[name]
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Amazon/EventBridge/ApiDestinations"}
    for connection in backend.connections.values():
        if connection.arn == destination.connection_arn:
            key = connection.auth_parameters.get("ApiKeyAuthParameters")
            if key:
                headers[key["ApiKeyName"]] = key["ApiKeyValue"]
    headers |= target.get("HttpParameters", {}).get("HeaderParameters", {})
    deliveries.post(destination.invocation_endpoint, body, headers)


def _send_to_targets(rule: models.Rule, event: dict[str, Any], transform_input: bool = True) -> None:
    """What moto does with events that somebody puts, with the fields that AWS has and moto leaves out."""
    shown = {**event, "account": ACCOUNT, "time": clock.stamp(event["time"])}
    shown.pop("event-bus-name", None)
    shown.pop("ingestion-time", None)
    _offer(rule, shown)


def install() -> None:
    models.Rule.send_to_targets = _send_to_targets
