"""Ledger entries that somebody has edited or deleted: none of them stops the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.runtime import flow_run

from planasonix.errors import ConfigurationError
from planasonix.runs import Record, SyncRequest
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixCredentials, PlanasonixSync
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.ledger import ArtifactStore, records_of
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner
from tests.prefect.conftest import CANARY_KEY


def document() -> dict[str, Any]:
    record = Record.fresh("intent", SyncRequest("conn_shop_orders"), {})
    return LedgerEntry("conn_shop_orders/1", RunOwner(flow_run_id=str(uuid4())), record).to_document()


def with_owner(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["owner"].update(fields)


def with_record(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["record"].update(fields)


@pytest.mark.parametrize(
    "edit",
    [
        with_owner(flow_run_id="garbage"),
        with_owner(flow_run_id=7),
        with_owner(flow_run_id=None),
        with_owner(parent_task_run_id=["x"]),
        lambda data: data.update(owner=[]),
        with_record(kind="spaceship"),
        with_record(run_id="a/../b c"),
        with_record(run_id=7),
    ],
)
def test_an_edited_entry_is_called_damaged(edit: Callable[[dict[str, Any]], None]) -> None:
    data = document()
    assert LedgerEntry.from_document(data).slot == "conn_shop_orders/1"
    edit(data)
    with pytest.raises(ConfigurationError, match="damaged"):
        LedgerEntry.from_document(data)


def test_an_entry_that_was_deleted_while_its_job_was_started_is_made_anew(
    prefect_server: str, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_speed(50)
    write = ArtifactStore.write

    def deleted_before(self: ArtifactStore, entry: LedgerEntry) -> LedgerEntry:
        if entry.record.run_id is not None and not deleted:
            deleted.append(entry.record.run_id)
            prefect_client().request("DELETE", "/artifacts/{id}", path_params={"id": entry.artifact_id})
        return write(self, entry)

    deleted: list[str] = []
    monkeypatch.setattr(ArtifactStore, "write", deleted_before)

    @flow
    def loads() -> Any:
        credentials = PlanasonixCredentials(api_key=CANARY_KEY, base_url=sandbox.url)  # pyright: ignore
        sync = PlanasonixSync(credentials=credentials, connection_id="conn_shop_orders", poll_interval_seconds=0.3)
        outcome = sync.trigger().fetch_result()
        [entry] = records_of(prefect_client(), str(flow_run.id))
        return outcome.id, entry.record.run_id

    outcome_id, noted_id = loads()
    assert deleted == [outcome_id] == [noted_id]
