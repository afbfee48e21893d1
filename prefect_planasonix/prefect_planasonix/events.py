"""What a run does, as Prefect events: for automations, and for the event feed.

=================================  ==================================================================================
event                              when
=================================  ==================================================================================
``planasonix.job.started``         the run is known to exist, whoever started it
``planasonix.job.progressed``      another whole percent, of runs of which the API tells one (backfills)
``planasonix.job.succeeded``       it has ended well, all its tables are loaded
``planasonix.job.failed``          it has ended, and not well; one failed table is enough
``planasonix.job.cancelled``       it has ended because somebody cancelled it
=================================  ==================================================================================

Backfills and the runs of pipelines have the same names, so that one automation hears of all of them; the label
`planasonix.kind` of the resource (`job`, `backfill`, `run`) tells them apart. The resource is `planasonix.<kind>.<id>`,
the connection or pipeline is related to it, and so are the flow run, task run, flow, deployment and tags that Prefect
itself adds to what a run emits.

The id of an event follows from what it says: flow run, run and word. Prefect keeps one event an id and fires its
automations once, so it does not matter that a flow tells the same end again after a retry, or the reconciler before it.
Two flow runs that wait for one run have an event each: each of them may have to be resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

from planasonix.errors import redact_data
from planasonix.runs.target import target_word

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from planasonix.runs import Outcome, RunHandle
    from planasonix.watch import WatchedRun

Word = Literal["started", "progressed", "succeeded", "failed", "cancelled"]
EVENT_PREFIX = "planasonix.job."
ENDED_EVENTS = ("planasonix.job.succeeded", "planasonix.job.failed", "planasonix.job.cancelled")
"""What says that a run has ended, well or not: for `expect` of a trigger."""

_NAMESPACE = UUID("5e1f0f6e-1c4b-5a0c-9c55-0f8a3c1f7d52")
_NAMES_SHOWN = 20
_TEXT_SHOWN = 500


@dataclass(frozen=True)
class EventToTell:
    """An event as plain data. The texts in it have been searched for what looks like a credential."""

    event: str
    id: UUID
    resource: Mapping[str, str]
    related: Sequence[Mapping[str, str]]
    payload: Mapping[str, Any]


def event_id(kind: str, run_id: str, word: str, *, flow_run_id: UUID | str | None = None) -> UUID:
    """The id of an event: the same for the same thing, whoever tells it and however often.

    `flow_run_id` is the flow run that the event is for; None where it is for none.

    >>> event_id("job", "job_1", "failed") == event_id("job", "job_1", "failed")
    True
    """
    about = "" if flow_run_id is None else str(flow_run_id).lower()
    return uuid5(_NAMESPACE, "\n".join((about, kind, run_id, word)))


def started_event(handle: RunHandle, *, link: str | None = None, flow_run_id: UUID | None = None) -> EventToTell:
    """The run is there. `link` is its page, where one is known."""
    payload = {
        "owned": handle.owned,
        "reattached": handle.reattached,
        "generation": handle.generation,
        "created_at": _moment(handle),
        "link": link,
    }
    return job_event("started", handle.kind, handle.id, handle.target_id, payload, flow_run_id=flow_run_id)


def progressed_event(
    handle: RunHandle, run: WatchedRun, percent: float, *, flow_run_id: UUID | None = None
) -> EventToTell:
    """The run has come to `percent`, of which whole ones count: 45.9 and 45 are one event."""
    payload = {"status": run.status, "progress_percent": int(percent)}
    return job_event(
        "progressed",
        handle.kind,
        handle.id,
        handle.target_id,
        payload,
        flow_run_id=flow_run_id,
        tells_apart=str(int(percent)),
    )


def ended_event(
    outcome: Outcome, *, flow_run_id: UUID | None = None, related: Iterable[Mapping[str, str]] = (), depth: int = 0
) -> EventToTell:
    """The end of a run, as its outcome has it.

    Who tells it for another flow run, as the reconciler does, gives that one's `flow_run_id` and `related`
    (see `related_to`): the event is then the same that the flow run itself would have told. `depth` is how many runs of
    its chain events have started, itself included: for `automations.run_on_event`.
    """
    failed = [table.name for table in outcome.tables if table.state == "failed"]
    payload = {
        "status": outcome.status,
        "api_status": outcome.api_status,
        "rows_loaded": outcome.rows_loaded,
        "tables_loaded": sum(table.state == "loaded" for table in outcome.tables),
        "tables_failed": len(failed),
        "failed_tables": failed[:_NAMES_SHOWN],
        "warnings": len(outcome.warnings),
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "window_start": outcome.window_start,
        "window_end": outcome.window_end,
        "finished_at": outcome.finished_at,
        "duration_seconds": outcome.duration_seconds,
        "generation": outcome.generation,
        "owned": outcome.owned,
        "link": outcome.link,
        "depth": depth or None,
    }
    word: Word = "succeeded" if outcome.succeeded else "cancelled" if outcome.status == "cancelled" else "failed"
    return job_event(
        word, outcome.kind, outcome.id, outcome.target_id, payload, flow_run_id=flow_run_id, related=related
    )


def job_event(
    word: Word,
    kind: str,
    run_id: str,
    target_id: str,
    payload: Mapping[str, Any],
    *,
    flow_run_id: UUID | None = None,
    related: Iterable[Mapping[str, str]] = (),
    tells_apart: str = "",
) -> EventToTell:
    """Any event of a run, for callers that know of it by other ways than a handle or an outcome.

    `kind` is `job`, `backfill` or `run`; `target_id` the connection, or the pipeline of a `run`, or "" where it is not
    known. `payload` is plain JSON; what is None in it is left out, long texts are cut. `tells_apart` goes into the id
    where one word is said more than once of a run.
    """
    target = target_word(kind)
    resource = {
        "prefect.resource.id": f"planasonix.{kind}.{run_id}",
        "prefect.resource.name": run_id,
        "planasonix.kind": kind,
    }
    more = [dict(each) for each in related]
    if target_id:
        resource[f"planasonix.{target}-id"] = target_id
        more.append({"prefect.resource.id": f"planasonix.{target}.{target_id}", "prefect.resource.role": target})
    told = {"kind": kind, "id": run_id, f"{target}_id": target_id or None, **payload}
    return EventToTell(
        event=f"{EVENT_PREFIX}{word}",
        id=event_id(kind, run_id, f"{word}{tells_apart}", flow_run_id=flow_run_id),
        resource=redact_data(resource),
        related=redact_data(more),
        payload=redact_data({name: _short(value) for name, value in told.items() if value is not None}),
    )


def related_to(flow_run: FlowRun) -> list[dict[str, str]]:
    """A flow run, and what belongs to it, as related resources: for an event that another process tells for it.

    The flow run stands first, because actions such as "resume a flow run" take the first one that is related.
    """
    related = [
        {
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.role": "flow-run",
            "prefect.resource.name": flow_run.name,
        },
        {"prefect.resource.id": f"prefect.flow.{flow_run.flow_id}", "prefect.resource.role": "flow"},
    ]
    if flow_run.deployment_id:
        of_deployment = f"prefect.deployment.{flow_run.deployment_id}"
        related.append({"prefect.resource.id": of_deployment, "prefect.resource.role": "deployment"})
    tags = ({"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in flow_run.tags)
    return related + sorted(tags, key=lambda tag: tag["prefect.resource.id"])


def emit(events: Iterable[EventToTell]) -> None:
    """Hand events over to Prefect, which sends them from a thread of its own and adds what the run context tells.

    May wait for the start of that thread, so not for an event loop. Raises what `prefect.events.emit_event` raises: an
    event that is too large.
    """
    from prefect.events import emit_event

    for each in events:
        emit_event(
            event=each.event,
            resource=dict(each.resource),
            related=[dict(one) for one in each.related],
            payload=dict(each.payload),
            id=each.id,
        )


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _TEXT_SHOWN:
        return value[: _TEXT_SHOWN - 1] + "…"
    return value


def _moment(handle: RunHandle) -> str | None:
    return handle.created.isoformat().replace("+00:00", "Z") if handle.created_at else None
