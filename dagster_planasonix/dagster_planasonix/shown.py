"""What an entry of the ledger says to people: in the run's events, and among those of the ledger's key."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from dagster_planasonix.ledger import Owner
from planasonix.runs import Record, RunHandle
from planasonix.runs.shown import record_state
from planasonix.runs.target import target_text, target_word


def shown_of(record: Record, owner: Owner, job_url_template: str | None) -> tuple[str, dict[str, Any]]:
    """(one sentence, the metadata values to show beside the entry). No link without a `job_url_template`."""
    state = record_state(record)
    name = f"{record.kind} {record.run_id}" if record.run_id else f"a {record.kind}"
    text = f"{name} of {target_text(record.kind, record.target_id)}: {state}"
    shown: dict[str, Any] = {
        "planasonix/state": state,
        f"planasonix/{target_word(record.kind)}_id": record.target_id,
    }
    if owner.connection_name:
        shown["planasonix/connection_name"] = owner.connection_name
    if record.run_id:
        shown[f"planasonix/{record.kind}_id"] = record.run_id
        link = None if record.created_at is None else RunHandle.of(record, reattached=True).link(job_url_template)
        if link:
            shown[f"planasonix/{record.kind}_url"] = dg.MetadataValue.url(link)
            text += f", {link}"
    body = json.loads(record.body)
    if "start_at" in body and "end_at" in body:
        shown["planasonix/window"] = f"[{body['start_at']}, {body['end_at']})"
    if record.generation:
        shown["planasonix/generation"] = record.generation
    return text, shown
