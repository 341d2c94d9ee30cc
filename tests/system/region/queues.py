"""SQS: messages that are lost, doubled or late on their way into a queue."""

from __future__ import annotations

from typing import Any

from moto.sqs import models

from . import faults


def send(queue: str, body: str) -> None:
    """Sends from within the region; a queue that is not there takes nothing."""
    from .world import ACCOUNT, SETTINGS

    backend = models.sqs_backends[ACCOUNT][SETTINGS.region]
    if queue in backend.queues:
        backend.send_message(queue_name=queue, message_body=body)


def install() -> None:
    original = models.SQSBackend.send_message

    def send_message(backend: Any, queue_name: str, message_body: str, **more: Any) -> Any:
        says = faults.take("message", queue=queue_name) or {}
        effect = says.get("effect")
        if effect == "lose":
            # Whoever sends it is told that it was sent.
            return models.Message("lost", message_body)
        if effect == "delay":
            more["delay_seconds"] = int(says.get("delay_s", 60))
        message = original(backend, queue_name, message_body, **more)
        if effect == "double":
            original(backend, queue_name, message_body, **more)
        return message

    models.SQSBackend.send_message = lambda backend, queue_name, message_body, *rest, **more: send_message(
        backend, queue_name, message_body, **dict(zip(_REST, rest)), **more
    )


# What may follow by position, as moto has it.
_REST = (
    "message_attributes",
    "delay_seconds",
    "deduplication_id",
    "group_id",
    "system_attributes",
    "validate_group_id",
)
