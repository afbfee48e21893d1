"""How far a watcher has come, in the state store of its asset: a restart goes on there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from airflow_provider_planasonix._compat import state_stores_of


class Watermark:
    """One watcher's place in an inbox. Equal watchers of several assets are one trigger: it writes to all of theirs."""

    def __init__(self, accessors: Any, arguments: dict[str, Any]) -> None:
        self._stores = state_stores_of(accessors)
        # Several watchers may be on one asset, each with a filter and a place of its own.
        digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
        self._key = f"planasonix_watermark_{digest}"

    async def read(self) -> tuple[str, int] | None:
        """The inbox it was written for, and the number of the last event that needs no repetition; None at first."""
        found = [value for store in self._stores if isinstance(value := await store.aget(self._key), dict)]
        if not found:
            return None
        best = max(found, key=lambda value: int(value["seq"]))
        return str(best["inbox"]), int(best["seq"])

    async def write(self, inbox: str, seq: int) -> None:
        """Raises what Airflow raises."""
        for store in self._stores:
            await store.aset(self._key, {"inbox": inbox, "seq": seq})
