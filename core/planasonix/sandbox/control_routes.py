"""What can be asked under `/sandbox/`: one table, which answers calls and describes itself at `GET /sandbox/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .clock import to_text

if TYPE_CHECKING:
    from .core import Sandbox

_DEFAULT_ROWS = 50
_MOST_ROWS = 1_000


@dataclass(frozen=True)
class Asked:
    """One control call: the `{…}` of its path, its query, its JSON object."""

    sandbox: Sandbox
    params: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]

    def text(self, name: str) -> str:
        """A text that the body must hold. Raises ValueError, which names the field."""
        value = self._needed(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} must be a text, not {value!r}")
        return value

    def number(self, name: str) -> float:
        """A number that the body must hold. Raises ValueError, which names the field."""
        value = self._needed(name)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a number, not {value!r}") from None

    def _needed(self, name: str) -> Any:
        if name not in self.body:
            raise ValueError(f"the body lacks {name!r}")
        return self.body[name]


@dataclass(frozen=True)
class ControlRoute:
    """`sample` is a body that works as it stands; None: the route takes none."""

    method: str
    path: str
    does: str
    act: Callable[[Asked], Any]
    query: tuple[str, ...] = ()
    sample: dict[str, Any] | None = None

    def described(self) -> dict[str, Any]:
        row: dict[str, Any] = {"route": f"{self.method} {self.path}", "does": self.does}
        if self.query:
            row["query"] = list(self.query)
        if self.sample is not None:
            row["body"] = self.sample
        return row


def _health(asked: Asked) -> Any:
    sandbox = asked.sandbox
    return {"status": "ok", "profile": sandbox.profile, "seed": sandbox.seed, "now": to_text(sandbox.clock.time())}


def _state(asked: Asked) -> Any:
    return asked.sandbox.state(limit=min(_MOST_ROWS, max(0, int(asked.query.get("limit", _DEFAULT_ROWS)))))


def _jobs(asked: Asked) -> Any:
    return {"jobs": asked.sandbox.jobs(asked.query.get("connection_id"))}


def _job(asked: Asked) -> Any:
    return asked.sandbox.job(asked.params["id"])


def _backfill(asked: Asked) -> Any:
    return asked.sandbox.backfill(asked.params["id"])


def _runs(asked: Asked) -> Any:
    return {"runs": asked.sandbox.runs(asked.query.get("pipeline_id"))}


def _run(asked: Asked) -> Any:
    return asked.sandbox.run(asked.params["id"])


def _journal(asked: Asked) -> Any:
    since, operation = int(asked.query.get("since_seq", 0)), asked.query.get("operation")
    entries = [
        entry.to_dict() for entry in asked.sandbox.journal if entry.seq > since and operation in (None, entry.operation)
    ]
    limit = int(asked.query.get("limit", len(entries)))
    return {"entries": entries[:limit]}


def _counts(asked: Asked) -> Any:
    return asked.sandbox.counts(asked.query.get("connection_id"))


def _faults(asked: Asked) -> Any:
    return {"faults": asked.sandbox.state(limit=0)["faults"]}


def _add_fault(asked: Asked) -> Any:
    options = {"kind": "error"} | asked.body
    named = Asked(asked.sandbox, {}, {}, options)
    return asked.sandbox.fault(**options | {"operation": named.text("operation"), "kind": named.text("kind")}).to_dict()


def _clear_faults(asked: Asked) -> Any:
    asked.sandbox.clear_faults(asked.query.get("connection_id"))
    return {"ok": True}


def _script(asked: Asked) -> Any:
    for name in ("connection_id", "pipeline_id", "target_id"):
        if name in asked.body:
            raise ValueError(f"{name} stands in the path, not in the body")
    asked.sandbox.script(asked.params["id"], **asked.body)
    return {"ok": True}


def _switches(asked: Asked) -> Any:
    asked.sandbox.switch(**asked.body)
    return asked.sandbox.state(limit=0)["switches"]


def _advance(asked: Asked) -> Any:
    asked.sandbox.advance(asked.number("seconds"))
    return {"now": to_text(asked.sandbox.clock.time())}


def _speed(asked: Asked) -> Any:
    asked.sandbox.set_speed(asked.number("speed"))
    return {"speed": asked.sandbox.clock.speed}


def _finish(asked: Asked) -> Any:
    asked.sandbox.finish(asked.params["id"], asked.body.get("outcome", "succeeded"))
    return _job(asked)


def _finish_run(asked: Asked) -> Any:
    asked.sandbox.finish(asked.params["id"], asked.body.get("outcome", "succeeded"))
    return _run(asked)


def _forget(asked: Asked) -> Any:
    asked.sandbox.forget(asked.params["id"])
    return {"ok": True}


def _reset(asked: Asked) -> Any:
    asked.sandbox.reset()
    return {"ok": True}


CONTROL_ROUTES = (
    ControlRoute("GET", "/sandbox/health", "profile, seed, virtual time", _health),
    ControlRoute(
        "GET",
        "/sandbox/state",
        "connections, jobs with metadata, backfills, pipelines, runs, webhooks, deliveries, calls",
        _state,
        query=("limit",),
    ),
    ControlRoute("GET", "/sandbox/jobs", "all jobs, oldest first", _jobs, query=("connection_id",)),
    ControlRoute("GET", "/sandbox/jobs/{id}", "one job with everything that is known", _job),
    ControlRoute("GET", "/sandbox/backfills/{id}", "one backfill", _backfill),
    ControlRoute("GET", "/sandbox/runs", "all pipeline runs, oldest first", _runs, query=("pipeline_id",)),
    ControlRoute("GET", "/sandbox/runs/{id}", "one pipeline run with everything that is known", _run),
    ControlRoute(
        "GET", "/sandbox/journal", "every call of the API", _journal, query=("since_seq", "operation", "limit")
    ),
    ControlRoute(
        "GET",
        "/sandbox/counts",
        "how many syncs, backfills, pipeline runs, cancels and calls there were",
        _counts,
        query=("connection_id",),
    ),
    ControlRoute(
        "PUT",
        "/sandbox/connections/{id}/script",
        "scripts the coming jobs of a connection (* for all); fields of Script, with kind and sequence",
        _script,
        sample={"outcome": "failed", "duration_seconds": 2},
    ),
    ControlRoute(
        "PUT",
        "/sandbox/pipelines/{id}/script",
        "scripts the coming runs of a pipeline; fields of Script, with sequence",
        _script,
        sample={"outcome": "failed", "failed_node": "n_source"},
    ),
    ControlRoute("GET", "/sandbox/faults", "the faults in force", _faults),
    ControlRoute(
        "POST",
        "/sandbox/faults",
        "lets coming calls go wrong; operation may be a pattern such as jobs.*; fields of Fault",
        _add_fault,
        sample={"operation": "connections.sync", "kind": "drop", "times": 1},
    ),
    ControlRoute(
        "DELETE",
        "/sandbox/faults",
        "clears all faults, or those of one connection",
        _clear_faults,
        query=("connection_id",),
    ),
    ControlRoute(
        "PATCH",
        "/sandbox/switches",
        "changes the tenant's habits; fields of Switches",
        _switches,
        sample={"busy": "queue"},
    ),
    ControlRoute("POST", "/sandbox/clock/advance", "moves virtual time ahead", _advance, sample={"seconds": 60}),
    ControlRoute(
        "PUT", "/sandbox/clock/speed", "virtual seconds per second; 0 stops the clock", _speed, sample={"speed": 60}
    ),
    ControlRoute("POST", "/sandbox/jobs/{id}/finish", "ends a job now", _finish, sample={"outcome": "succeeded"}),
    ControlRoute("POST", "/sandbox/jobs/{id}/forget", "makes a job answer 404", _forget),
    ControlRoute(
        "POST", "/sandbox/runs/{id}/finish", "ends a pipeline run now", _finish_run, sample={"outcome": "failed"}
    ),
    ControlRoute("POST", "/sandbox/runs/{id}/forget", "makes a pipeline run answer 404", _forget),
    ControlRoute("POST", "/sandbox/reset", "back to the first state; the clock runs on", _reset),
)
