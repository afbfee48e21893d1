"""Deliveries as nobody should send them: what a forger, a broken sender or a later version of the API might post."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from .signing import signature_headers
from .switches import Switches

_STALE_SECONDS = 3_600.0
_STALE_BODY = timedelta(days=30)
_OVERSIZED_BYTES = 2 * 1_048_576
_OPPOSITES = {"succeeded": "failed", "completed": "failed", "failed": "succeeded"}


def flawed_body(body: bytes, flaw: str, new_id: Callable[[str], str]) -> bytes:
    """The body that is sent and, if the signature is genuine, signed. `new_id` makes an id from a prefix."""
    if flaw in ("none", "unsigned", "forged", "altered"):
        return body
    if flaw == "bad_json":
        return body[:-2]
    told: dict[str, Any] = json.loads(body)
    subject = "backfill_id" if "backfill_id" in told else "job_id"
    if flaw == "stale":
        told["timestamp"] = (datetime.fromisoformat(told["timestamp"]) - _STALE_BODY).isoformat()
    elif flaw == "oversized":
        told["padding"] = "x" * _OVERSIZED_BYTES
    elif flaw == "wrong_types":
        told |= {"id": 7, "timestamp": {}, subject: [told[subject]], "data": told["data"]["status"]}
    elif flaw == "lying_status":
        kind, _, word = told["type"].partition(".")
        told |= {"id": new_id("evt"), "type": f"{kind}.{_OPPOSITES[word]}"}
        told["data"]["status"] = _OPPOSITES[told["data"]["status"]]
    elif flaw == "unknown_type":
        kind, _, _ = told["type"].partition(".")
        told |= {"id": new_id("evt"), "type": f"{kind}.reconsidered"}
        told["data"]["status"] = "reconsidered"
    elif flaw == "unknown_object":
        told |= {"id": new_id("evt"), subject: new_id("bf" if subject == "backfill_id" else "job")}
    return json.dumps(told, separators=(",", ":")).encode()


def flawed_headers(
    body: bytes, secret: str, flaw: str, *, switches: Switches, timestamp: int | float
) -> dict[str, str]:
    """The headers of the signature, as the tenant signs but for the flaw."""
    if flaw == "unsigned":
        return {}
    if flaw == "forged":
        secret = f"{secret} of somebody else"
    elif flaw == "altered":
        body += b" "
    elif flaw == "stale":
        timestamp -= _STALE_SECONDS
    return signature_headers(body, secret, switches=switches, timestamp=int(timestamp))
