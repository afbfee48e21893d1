"""Which run keeps a connection busy, after the API refused to start another."""

from __future__ import annotations

import json
from collections.abc import Callable

from planasonix.errors import ConflictError, PlanasonixError
from planasonix.errors.hints import hint_for
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Get, Listed, ListSince, RunView, Steps
from planasonix.runs.record import Record
from planasonix.runs.requests import RunRequest
from planasonix.runs.target import target_text


def busy_run(
    error: PlanasonixError,
    record: Record,
    request: RunRequest,
    policy: Policy,
    now: Callable[[], float],
    *,
    attach: bool,
) -> Steps[RunView | None]:
    """The one active run on the target, or None where there is none, or more than one.

    To attach, a run of our own type, window and tables (of a pipeline: any, as the API shows no variables); to wait
    for, any job: a sync may wait behind a backfill. Runs of a pipeline only wait behind one another.
    """
    named: str | None = getattr(error, "existing_job_id", None)
    kind, job_type = (request.kind, request.job_type) if attach or request.kind == "run" else ("job", None)
    try:
        if named is not None and kind == "job":
            run: RunView = yield Get("job", named)
            runs = [run] if job_type in (None, getattr(run, "type", job_type)) else []
        else:
            since = now() - policy.timeout_seconds
            listed: Listed = yield ListSince(kind, request.target_id, job_type, since)
            runs = listed.runs
        active = [run for run in runs if run.phase == "active"]
        if attach:
            active = yield from _alike(active, record, request)
    except PlanasonixError:
        return None
    return active[0] if len(active) == 1 else None


def _alike(runs: list[RunView], record: Record, request: RunRequest) -> Steps[list[RunView]]:
    """Those of the runs that load what we ask for: a list shows a backfill's window, only a GET its tables."""
    asked = json.loads(record.body)
    alike = [run for run in runs if request.may_be(asked, run)]
    if record.kind != "backfill":
        return alike
    active: list[RunView] = []
    for run in alike:
        shown: RunView = yield Get(record.kind, run.id)
        if shown.phase == "active" and request.may_be(asked, shown):
            active.append(shown)
    return active


def in_the_way(error: PlanasonixError, busy: RunView | None) -> PlanasonixError:
    """The refusal, which names the run that keeps the target busy: the API's own answer may not (facts §1.1)."""
    if busy is not None and isinstance(error, ConflictError) and error.existing_job_id is None:
        error.existing_job_id = busy.id
        error.hint = hint_for(409, operation=None, existing_job_id=busy.id)
    return error


def nothing_to_attach_to(request: RunRequest) -> ConflictError:
    target = target_text(request.kind, request.target_id)
    return ConflictError(
        f"The {target} is busy, and not with exactly one running {request.job_type} of the same request to attach to.",
        status_code=409,
        hint='Use if_running="wait", or wait for the other job to end.',
    )
