"""The ledger of a flow run, read from its artifacts as anybody can: the JSON block of each."""

from __future__ import annotations

import json
import re
from typing import Any

from scripts.prefect_local import LocalPrefect

_BLOCK = re.compile(r"```json\n(\{.*\})\n```", re.DOTALL)


def ledger_of(prefect: LocalPrefect, flow_run_id: str) -> list[dict[str, Any]]:
    """The entries of a flow run, oldest first."""
    found = prefect.artifacts(flow_run_id, "planasonix-ledger-")
    return [json.loads(match.group(1)) for one in found if (match := _BLOCK.search(one["data"]))]
