"""One wish of one user, and the idempotency key that follows from it.

An intent is a random token that stays the same over the automatic retries of one wish and is new for a new wish (a
clear, a new run). Which of the two a given try is, only the orchestrator's plugin can tell; everything else about
intents is here.

A *generation* counts the jobs of one intent: it rises only when the previous job ended failed or cancelled and the
orchestrator tries again. *Refusals* count the definite "busy" answers within a generation: the API created nothing
then, and a server may keep the refusal as its saved answer to the key, so the next POST goes with a new one.
"""

from __future__ import annotations

import hashlib
import json
import secrets

from planasonix.runs.requests import RunRequest


def new_intent() -> str:
    """A new token. It says nothing about who or what, so it may stand in metadata and logs."""
    return secrets.token_hex(16)


def idempotency_key(intent: str, generation: int, request: RunRequest, *, refusals: int = 0) -> str:
    """The key of one job: the same for the same intent, generation, operation, target, window and tables."""
    identity = json.dumps(
        [intent, generation, refusals, request.operation, request.target_id, request.identity()],
        sort_keys=True,
        separators=(",", ":"),
    )
    return "plnx-" + hashlib.sha256(identity.encode()).hexdigest()[:40]
