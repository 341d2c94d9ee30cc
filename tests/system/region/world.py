"""What all of the region shares: one lock, and the settings that a test changes."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

# Held by whoever looks at or changes the region. Calls come from many threads, and moto guards little by itself.
LOCK = threading.RLock()

ACCOUNT = "123456789012"


@dataclass
class Settings:
    """Durations in seconds of the region's clock."""

    region: str = "eu-west-1"
    # From `pending` to `running`.
    boot_s: float = 0.0
    # Until an image that was just made is available.
    snapshot_s: float = 0.0
    # Until the root volume of an instance is replaced.
    root_volume_s: float = 0.0
    # From the notice until a Spot instance is gone.
    spot_notice_s: float = 120.0
    # Until a group sees that a member has ended or is stopped.
    health_s: float = 0.0
    # From the registration of a target until it is healthy.
    target_initial_s: float = 0.0
    # Between two checks of the targets behind a listener.
    target_check_s: float = 0.5
    # Between two attempts to launch what could not be launched.
    retry_s: float = 1.0

    def change(self, values: dict[str, Any]) -> None:
        """Takes over what is given; refuses what there is no setting for."""
        known = {field.name: field for field in fields(self)}
        for name, value in values.items():
            if name not in known or name == "region":
                raise ValueError(f"there is no setting {name!r} to change")
            setattr(self, name, float(value))

    def shown(self) -> dict[str, Any]:
        return asdict(self)


SETTINGS = Settings()
