"""Whether the run that the API shows under an id is the one that was meant by it, and whether it is gone (G3)."""

from __future__ import annotations

from collections.abc import Callable

from planasonix.errors import NotFoundError, PlanasonixError
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Get, RunView, Say, Sleep, Steps
from planasonix.runs.record import Record
from planasonix.runs.target import Targeted, shown_target, target_word

_READS = 3
_CONFIRMED_WITHIN_SECONDS = 10.0
"""Copies of the API's store are seconds behind one another, not minutes."""


def is_another(run: object, meant: Targeted) -> bool:
    """Whether the run belongs to another connection or pipeline: its id was used again, or the key is another tenant's.

    Nothing is known where the API shows neither, or where the run is named by its id alone.
    """
    shown = shown_target(run, meant.kind)
    return shown is not None and meant.target_id not in ("", shown)


def is_young(record: Record, policy: Policy, now: float) -> bool:
    """Whether the run was named so short a while ago that the API need not show it yet."""
    named = record.named_at or record.sent_at or record.created_at or now
    return now - named < policy.missing_after_seconds


def read_run(record: Record, policy: Policy, now: Callable[[], float]) -> Steps[tuple[RunView | None, bool]]:
    """(the run that the record names, None where it is not shown; whether it is gone). Raises a GET's other errors.

    One 404 for a run that is not young proves nothing, and a second job would follow from it: it is asked again a few
    times. A young one may show yet, and is not gone. Another run of the same id counts as gone.
    """
    assert record.run_id is not None  # noqa: S101 - asked only of records that name a run
    pause_seconds = min(policy.missing_after_seconds, _CONFIRMED_WITHIN_SECONDS) / (_READS - 1)
    for number in range(_READS):
        if number:
            yield Sleep(pause_seconds)
        try:
            run: RunView = yield Get(record.kind, record.run_id)
        except NotFoundError:
            if is_young(record, policy, now()):
                return None, False
            continue
        except PlanasonixError as error:
            # A refusal says nothing of the run: who does not try again leaves it to nobody.
            error.run_goes_on = record.ended_as is None
            raise
        if not is_another(run, record):
            return run, False
        yield Say("warning", f"{_taken(record.kind, run, record)}: it is left alone")
        return None, True
    return None, True


def not_found(kind: str, run: RunView, meant: Targeted) -> NotFoundError:
    """The error of a read that found another run under the id."""
    return NotFoundError(
        f"Planasonix {_taken(kind, run, meant)}.",
        status_code=404,
        hint="Its id was used again, or the API key belongs to another organization: look whose it is.",
    )


def _taken(kind: str, run: RunView, meant: Targeted) -> str:
    shown = shown_target(run, meant.kind)
    return f"{kind} {run.id} is one of {target_word(meant.kind)} {shown} and not of {meant.target_id}"
