"""What AWS says of an instance before something happens to it: Spot interruption, rebalance, maintenance."""

from __future__ import annotations

import json
import uuid
from typing import Any

from . import clock, events, instances, metadata
from .world import ACCOUNT, SETTINGS


def interrupt_spot(instance: Any, action: str = "terminate") -> None:
    """Two minutes' notice, then the instance is gone, whatever its hooks say."""
    when = clock.stamp(clock.now() + SETTINGS.spot_notice_s)
    metadata.put(instance.id, "meta-data/spot/instance-action", json.dumps({"action": action, "time": when}))
    metadata.put(instance.id, "meta-data/spot/termination-time", when)
    told = {"instance-action": action}
    events.of_instance("EC2 Spot Instance Interruption Warning", instance.id, **told)

    def gone() -> None:
        if action == "stop":
            instance.stop()
        else:
            why = "Server.SpotInstanceTermination"
            instances.reclaim(instance, why, f"{why}: Spot instance termination")

    clock.after(SETTINGS.spot_notice_s, gone)


def recommend_rebalance(instance: Any) -> None:
    notice = json.dumps({"noticeTime": clock.stamp()})
    metadata.put(instance.id, "meta-data/events/recommendations/rebalance", notice)
    events.of_instance("EC2 Instance Rebalance Recommendation", instance.id)


def schedule_event(instance: Any, code: str, in_s: float) -> None:
    """Maintenance that is announced; nothing happens by itself when it is due."""
    begins, ends = clock.now() + in_s, clock.now() + in_s + 7200
    event_id = f"instance-event-{uuid.uuid4().hex[:17]}"
    told = [
        {
            "NotBefore": clock.utcnow(begins).strftime("%-d %b %Y %H:%M:%S GMT"),
            "Code": code,
            "Description": f"The instance is scheduled for {code}",
            "EventId": event_id,
            "NotAfter": clock.utcnow(ends).strftime("%-d %b %Y %H:%M:%S GMT"),
            "State": "active",
        }
    ]
    metadata.put(instance.id, "meta-data/events/maintenance/scheduled", json.dumps(told))
    instance.events = [
        {
            "InstanceEventId": event_id,
            "Code": code,
            "Description": told[0]["Description"],
            "NotBefore": clock.utcnow(begins),
            "NotAfter": clock.utcnow(ends),
        }
    ]
    detail = {
        "eventArn": f"arn:aws:health:{SETTINGS.region}::event/EC2/{code}/{event_id}",
        "service": "EC2",
        "eventTypeCode": f"AWS_EC2_{code.upper().replace('-', '_')}_SCHEDULED",
        "eventTypeCategory": "scheduledChange",
        "startTime": clock.stamp(begins),
        "endTime": clock.stamp(ends),
        "affectedEntities": [{"entityValue": instance.id}],
    }
    arn = f"arn:aws:ec2:{SETTINGS.region}:{ACCOUNT}:instance/{instance.id}"
    events.emit("aws.health", "AWS Health Event", [arn], detail)
