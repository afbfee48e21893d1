"""A run of the same id that is another's is left alone, and one 404 does not make a run gone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import ConfigurationError, NotFoundError, PlanasonixError
from planasonix.runs import Policy, Provenance, RunHandle, SqliteLedger, SyncRequest, cancel_run, effects, start_run
from planasonix.runs.cancel import cancel
from planasonix.runs.identity import is_another
from planasonix.runs.outcome import fetch_outcome
from planasonix.runs.retire import retire
from planasonix.sandbox import Sandbox

OURS, THEIRS = "conn_shop_orders", "conn_crm_accounts"
HANDLE = RunHandle("job", "job_1", "conn_1", True, 0.0, 1.0, "intent-1")


@pytest.mark.parametrize(
    ("shown", "another"),
    [
        ({"connection_id": "conn_1"}, False),
        ({"connection_id": "conn_2"}, True),
        ({"connection_id": None}, False),
        ({}, False),
    ],
)
def test_another_connection_is_another_run(shown: dict[str, Any], another: bool) -> None:
    assert is_another(SimpleNamespace(**shown), HANDLE) is another


def test_a_run_that_is_named_by_its_id_alone_is_nobody_elses() -> None:
    assert not is_another(SimpleNamespace(connection_id="conn_2"), replace(HANDLE, target_id=""))


OUTCOME = {"kind": "run", "id": "run_1", "pipeline_id": "pl_1", "connection_id": None, "owned": True, "nodes": []}


@pytest.mark.parametrize("as_text", [dict, str, json.dumps], ids=["dict", "Python's text", "JSON"])
@pytest.mark.parametrize(
    ("returned", "kind", "target_id", "owned"),
    [
        (HANDLE.to_dict(), "job", "conn_1", True),
        (OUTCOME, "run", "pl_1", True),
        ({"kind": "backfill", "id": "bf_1", "owned": "yes"}, "backfill", "", False),
    ],
    ids=["handle", "outcome", "no target"],
)
def test_what_a_step_returned_names_its_run(
    as_text: Any, returned: dict[str, Any], kind: str, target_id: str, owned: bool
) -> None:
    named = RunHandle.named(as_text(returned))
    assert named is not None
    assert (named.kind, named.id, named.target_id, named.owned) == (kind, returned["id"], target_id, owned)


@pytest.mark.parametrize("nothing", [None, "None", "null", " None "])
def test_a_step_that_returned_nothing_names_none(nothing: Any) -> None:
    assert RunHandle.named(nothing) is None


@pytest.mark.parametrize(
    "value", ["", "job_1", "{broken", 7, [], {}, {"kind": "job"}, {"kind": "job", "id": " "}, {"kind": "x", "id": "y"}]
)
def test_what_is_no_runs_name_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunHandle.named(value, field="job_id")
    assert caught.value.field == "job_id"


def test_a_kind_may_be_understood() -> None:
    named = RunHandle.named({"id": "job_1"}, kind="job")
    assert named is not None
    assert named.kind == "job"


def test_an_id_that_was_used_again_is_neither_waited_for_nor_cancelled(tmp_path: Path) -> None:
    sandbox = Sandbox(speed=0)
    with Planasonix("plnx_live_sandbox", transport=sandbox.transport()) as client:
        ledger = SqliteLedger(tmp_path / "l.db", "slot")

        def start() -> Any:
            provenance = Provenance("test", "a test")
            return start_run(client, SyncRequest(OURS), intent="intent", ledger=ledger, provenance=provenance)

        before = start().handle
        sandbox.reset()
        theirs = client.connections.sync(THEIRS)
        assert theirs.id == before.id  # else this shows nothing
        assert cancel_run(client, before) is None
        started = start()
        assert (started.how, started.handle.target_id, started.handle.generation) == ("started", OURS, 1)
        assert started.handle.id != theirs.id
        assert client.jobs.get(theirs.id).status == "queued"


def carry_out(world: Any, steps: Any) -> Any:
    try:
        effect = next(steps)
        while True:
            try:
                answer = world.do(effect)
            except PlanasonixError as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize("kind", ["job", "backfill"])
def test_another_run_is_not_cancelled(world: Any, kind: Any) -> None:
    world.add_job("running", connection_id="conn_2")
    assert carry_out(world, cancel(kind, "job_1", meant=HANDLE)) is None
    assert world.trace == ["GET"]


def test_a_run_that_cannot_be_read_is_cancelled_all_the_same() -> None:
    steps = cancel("job", "job_1", meant=HANDLE)
    assert isinstance(next(steps), effects.Get)
    assert isinstance(steps.throw(PlanasonixError("no answer")), effects.Cancel)


def test_an_older_intents_run_is_retired_only_if_it_is_that_run(world: Any) -> None:
    world.run()
    record = world.stored
    world.jobs["job_1"] = replace(world.jobs["job_1"], status="running", connection_id="conn_2")
    carry_out(world, retire(record, Policy(), lambda: world.now))
    assert "CANCEL" not in world.trace
    assert "not of conn_1" in world.said[-1]


def test_the_outcome_of_another_run_is_not_ours(world: Any) -> None:
    world.add_job("succeeded", connection_id="conn_2")
    with pytest.raises(NotFoundError, match="job_1 is one of connection conn_2 and not of conn_1"):
        carry_out(world, fetch_outcome(HANDLE))


def test_one_404_of_a_run_that_lives_starts_no_second_one(make_world: Any, monkeypatch: Any) -> None:
    world = make_world()
    world.run()
    world.now += 600.0
    lies, plain = [True, True], make_world.do

    def lying(self: Any, effect: Any) -> Any:
        if isinstance(effect, effects.Get) and lies:
            lies.pop()
            raise NotFoundError("no such job", status_code=404)
        return plain(self, effect)

    monkeypatch.setattr(make_world, "do", lying)
    assert world.run(world.stored).how == "reattached"
    assert len(world.jobs) == 1
