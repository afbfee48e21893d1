"""The control API under `/sandbox/`: the same handles over HTTP, without an API key.

| Method, path | Body or query | Does |
|---|---|---|
| GET /sandbox/health | | profile, seed, virtual time |
| GET /sandbox/state | `limit` | connections, jobs with metadata, backfills, deliveries, calls |
| GET /sandbox/jobs, /sandbox/jobs/{id} | `connection_id` | all jobs; one job with everything that is known |
| GET /sandbox/backfills/{id} | | one backfill |
| GET /sandbox/journal | `since_seq`, `operation`, `limit` | every call |
| GET /sandbox/counts | `connection_id` | started jobs and backfills, cancels, calls |
| POST, DELETE, GET /sandbox/faults | `operation`, `kind`, options of `Fault` | adds, clears, lists faults |
| PUT /sandbox/connections/{id}/script | options of `Script`, `kind`, `sequence` | scripts outcomes ("*": all) |
| PATCH /sandbox/switches | fields of `Switches` | changes switches |
| POST /sandbox/clock/advance | `seconds` | moves virtual time |
| PUT /sandbox/clock/speed | `speed` | changes the speed |
| POST /sandbox/jobs/{id}/finish | `outcome` | ends a job now |
| POST /sandbox/jobs/{id}/forget | | makes a job answer 404 |
| POST /sandbox/reset | | back to the first state |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .clock import to_text
from .replies import Answer, Refusal, SandboxReply, encode

if TYPE_CHECKING:
    from .core import Sandbox

_MAX_TEXT = 10_000
_DEFAULT_ROWS = 50
_MOST_ROWS = 1_000


def json_or_text(body: bytes) -> Any:
    """A body for the journal: parsed if it is JSON, else its beginning as text."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body[:_MAX_TEXT].decode("utf-8", "replace")


def handle(sandbox: Sandbox, method: str, path: str, query: dict[str, str], body: bytes) -> SandboxReply:
    segments = tuple(unquote(each) for each in path.strip("/").split("/")[1:])
    try:
        options = json.loads(body) if body.strip() else {}
        if not isinstance(options, dict):
            raise ValueError("the body must be a JSON object")
        return encode(Answer(200, _act(sandbox, method, segments, query, options)))
    except (ValueError, TypeError) as exc:
        return encode(Refusal(400, str(exc)).answer())
    except KeyError as exc:
        return encode(Refusal(404, f"Unknown: {exc.args[0]}").answer())
    except Refusal as refusal:
        return encode(refusal.answer())


def _act(
    sandbox: Sandbox, method: str, segments: tuple[str, ...], query: dict[str, str], options: dict[str, Any]
) -> Any:
    match (method, *segments):
        case ("PUT", "connections", identifier, "script"):
            sandbox.script(identifier, **options)
            return {"ok": True}
        case ("GET", "jobs", identifier):
            return sandbox.job(identifier)
        case ("GET", "backfills", identifier):
            return sandbox.backfill(identifier)
        case ("POST", "jobs", identifier, "finish"):
            sandbox.finish(identifier, options.get("outcome", "succeeded"))
            return sandbox.job(identifier)
        case ("POST", "jobs", identifier, "forget"):
            sandbox.forget(identifier)
            return {"ok": True}
        case _:
            action = _ACTIONS.get((method, "/".join(segments)))
            if action is None:
                raise Refusal(404, f"No such control route: {method} /sandbox/{'/'.join(segments)}")
            return action(sandbox, query, options)


def _health(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    now = to_text(sandbox.clock.time())
    return {"status": "ok", "profile": sandbox.profile, "seed": sandbox.seed, "now": now}


def _state(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    return sandbox.state(limit=min(_MOST_ROWS, max(0, int(query.get("limit", _DEFAULT_ROWS)))))


def _jobs(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    return {"jobs": sandbox.jobs(query.get("connection_id"))}


def _journal(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    since, operation = int(query.get("since_seq", 0)), query.get("operation")
    entries = [
        entry.to_dict() for entry in sandbox.journal if entry.seq > since and operation in (None, entry.operation)
    ]
    limit = int(query.get("limit", len(entries)))
    return {"entries": entries[:limit]}


def _counts(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    return sandbox.counts(query.get("connection_id"))


def _faults(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    return {"faults": sandbox.state(limit=0)["faults"]}


def _add_fault(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    return sandbox.fault(**options).to_dict()


def _clear_faults(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    sandbox.clear_faults()
    return {"ok": True}


def _switches(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    sandbox.switch(**options)
    return sandbox.state(limit=0)["switches"]


def _needed(options: dict[str, Any], name: str) -> float:
    if name not in options:
        raise ValueError(f"{name} is missing")
    return float(options[name])


def _advance(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    sandbox.advance(_needed(options, "seconds"))
    return {"now": to_text(sandbox.clock.time())}


def _speed(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    sandbox.set_speed(_needed(options, "speed"))
    return {"speed": sandbox.clock.speed}


def _reset(sandbox: Sandbox, query: dict[str, str], options: dict[str, Any]) -> Any:
    sandbox.reset()
    return {"ok": True}


_ACTIONS: dict[tuple[str, str], Callable[[Any, dict[str, str], dict[str, Any]], Any]] = {
    ("GET", "health"): _health,
    ("GET", "state"): _state,
    ("GET", "jobs"): _jobs,
    ("GET", "journal"): _journal,
    ("GET", "counts"): _counts,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("PATCH", "switches"): _switches,
    ("POST", "clock/advance"): _advance,
    ("PUT", "clock/speed"): _speed,
    ("POST", "reset"): _reset,
}
