"""Who started the job, in Dagster's words: what the job carries in its metadata."""

from __future__ import annotations

from collections.abc import Sequence

from dagster_planasonix.ledger import Owner
from planasonix.runs import Provenance

_ASSETS_SHOWN = 10


def provenance_of(owner: Owner, *, code_location: str | None, link: str | None) -> Provenance:
    """Names and ids only, and nothing that changes between two tries. `link` is the run's page in Dagster's UI."""
    details: dict[str, str | int] = {
        "job_name": owner.job_name,
        "step_key": owner.step_key,
        "run_id": owner.run_id,
        "root_run_id": owner.root_run_id,
    }
    if owner.asset_keys:
        details["asset_keys"] = shortened(owner.asset_keys)
    if owner.partition_start is not None:
        same = owner.partition_end in (None, owner.partition_start)
        details["partition"] = owner.partition_start if same else f"{owner.partition_start}...{owner.partition_end}"
    if owner.part:
        details["part"] = owner.part
    if code_location is not None:
        details["code_location"] = code_location
    if link is not None:
        details["link"] = link
    return Provenance("dagster", f"dagster_job_{owner.job_name}", details)


def run_link(webserver_url: str | None, run_id: str) -> str | None:
    """The run's page in Dagster's UI; None where its address is not set."""
    return None if not webserver_url else f"{webserver_url.rstrip('/')}/runs/{run_id}"


def shortened(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are: a job's metadata is no place for a list without an end."""
    more = len(names) - _ASSETS_SHOWN
    text = ", ".join(names[:_ASSETS_SHOWN])
    return text if more <= 0 else f"{text} and {more} more"
