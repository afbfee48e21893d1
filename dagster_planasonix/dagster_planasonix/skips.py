"""Nothing was started: how a run says so, whether it would have waited or not."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from planasonix.errors import PlanasonixError
from planasonix.runs.decide import is_paused

SKIPPED = "planasonix/skipped"


def skip_observations(
    keys: Iterable[dg.AssetKey], why: str, text: str, partitions: Iterable[str] = ()
) -> list[dg.AssetObservation]:
    """That the assets stay as they are, and why, in one word and in a sentence.

    `partitions` are those that were to be loaded: an asset that has partitions has no events without.
    """
    keys, named = list(keys), list(partitions)
    return [
        dg.AssetObservation(key, description=text, metadata={SKIPPED: why}, partition=partition)
        for key in keys
        for partition in named or [None]
    ]


def busy_text(connection_id: str) -> str:
    return f"The connection {connection_id} was busy, and if_running is 'skip': nothing was started."


def paused_text(error: PlanasonixError, connection_id: str, *, on_paused: str) -> str:
    """The sentence on a paused connection that is to be skipped; `on_paused`: see `PlanasonixWorkspace`.

    Raises `error` where it says anything else, and `dagster.Failure` without retries where a paused connection fails
    the step: no retry resumes it.
    """
    if not is_paused(error):
        raise error
    text = f"The connection {connection_id} is paused in Planasonix: nothing was started."
    if on_paused == "fail":
        hint = "Resume it there, or set on_paused of the workspace to 'skip'."
        raise dg.Failure(f"{text}\n{hint}", allow_retries=False) from error
    return text
