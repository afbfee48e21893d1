"""A pipeline found by its name, and runs ended on purpose, by the client and the sandbox in this process."""

from __future__ import annotations

import asyncio
import doctest
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.errors import ConfigurationError, NotFoundError, PlanasonixError, WaitTimeoutError
from planasonix.models import Job
from planasonix.runs import RunHandle, apipeline_id_of, end_run, ending, pipeline_id_of, pipeline_names, requests
from planasonix.sandbox import Sandbox

KEY = "plnx_live_sandbox"


def connect(sandbox: Sandbox) -> Planasonix:
    return Planasonix(KEY, transport=sandbox.transport(), job_url_template="https://app/{kind}s/{id}")


def test_the_examples_run() -> None:
    for module in (ending, pipeline_names, requests):
        failed, tried = doctest.testmod(module)
        assert (failed, tried > 0) == (0, True)


def test_a_name_is_found_where_the_search_is_ignored_and_where_it_finds_nothing() -> None:
    client = connect(Sandbox())
    assert pipeline_id_of(client, "crm_to_warehouse") == "pl_02hqabc"
    every = list(client.pipelines.list())
    for shown in (every, []):

        class Searching:
            @staticmethod
            def list(search: str | None = None, shown: list[Any] = shown) -> list[Any]:
                return every if search is None else shown

        class Client:
            pipelines = Searching

        assert pipeline_id_of(Client, "crm_to_warehouse") == "pl_02hqabc"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", " ", None])
def test_no_name_names_the_field(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        pipeline_id_of(connect(Sandbox()), name)
    assert caught.value.field == "pipeline_name"


def test_a_name_that_none_has_lists_those_like_it() -> None:
    with pytest.raises(ConfigurationError, match=r"'daily_revenue' \(pl_daily_revenue\)") as caught:
        pipeline_id_of(connect(Sandbox()), "Daily_Revenue")
    assert caught.value.field == "pipeline_name"


def test_a_name_that_several_have_lists_them() -> None:
    sandbox = Sandbox()
    sandbox._state.pipelines["pl_crm_accounts"].name = "daily_revenue"
    with pytest.raises(ConfigurationError, match="2 pipelines have the name") as caught:
        pipeline_id_of(connect(sandbox), "daily_revenue")
    assert "pl_daily_revenue" in str(caught.value)
    assert "pl_crm_accounts" in str(caught.value)


def test_the_same_on_a_loop() -> None:
    async def look(name: str) -> str:
        async with AsyncPlanasonix(KEY, transport=Sandbox().transport()) as client:
            return await apipeline_id_of(client, name)

    assert asyncio.run(look("crm_to_warehouse")) == "pl_02hqabc"
    with pytest.raises(ConfigurationError, match="No pipeline has the name"):
        asyncio.run(look("nobody"))


def start(client: Planasonix, kind: str) -> str:
    if kind == "job":
        return client.connections.sync("conn_shop_orders").id
    if kind == "run":
        return client.pipelines.run("pl_daily_revenue").id
    window = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-04-01T00:00:00Z"}
    return client.connections.backfill("conn_shop_orders", **window).id  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", ["strict", "rich"])
@pytest.mark.parametrize("kind", ["job", "backfill", "run"])
def test_a_run_is_ended_once_and_asking_again_is_well(kind: Any, profile: Any) -> None:
    sandbox = Sandbox(profile=profile, speed=100)
    for target in ("conn_shop_orders", "pl_daily_revenue"):
        sandbox.script(target, outcome="stuck")
    client = connect(sandbox)
    run_id = start(client, kind)
    first, second = (end_run(client, kind, run_id) for _ in range(2))
    assert (first.status, first.already_ended) == ("cancelled", False)
    assert (second.status, second.already_ended) == ("cancelled", True)
    assert first.link == f"https://app/{kind}s/{run_id}"
    target = ("pipeline_id", "pl_daily_revenue") if kind == "run" else ("connection_id", "conn_shop_orders")
    assert first.to_dict()[target[0]] == target[1]


def test_where_the_api_names_no_target_the_handle_does() -> None:
    class Jobs:
        @staticmethod
        def get(job_id: str) -> Job:
            return Job.model_validate({"id": job_id, "status": "succeeded"})

    config = SimpleNamespace(job_url_template="https://app/{connection_id}/{id}")
    client: Any = SimpleNamespace(jobs=Jobs, config=config)
    meant = RunHandle("job", "job_1", "conn_1", True, 0.0, 1.0, "token")
    ended = end_run(client, "job", "job_1", meant=meant)
    assert (ended.connection_id, ended.link) == ("conn_1", "https://app/conn_1/job_1")
    ended = end_run(client, "job", "job_1")
    assert (ended.connection_id, ended.link) == (None, None)


@pytest.mark.parametrize("refusal", ["409", "400"])
def test_a_pipeline_run_that_ends_while_it_is_asked_is_well(refusal: Any) -> None:
    """The API refuses to cancel what has ended; which status it uses is not agreed (C16)."""
    sandbox = Sandbox(speed=0, ended_run_cancel=refusal)
    client = connect(sandbox)
    run_id = start(client, "run")

    def end_it(event: Any) -> None:
        if sandbox.calls("runs.get") == 1:
            sandbox.finish(run_id)

    watching = client.with_options(on_event=end_it)
    ended = end_run(watching, "run", run_id)
    assert (ended.status, ended.already_ended) == ("succeeded", False)


def test_a_run_that_does_not_stop_in_time_is_told() -> None:
    sandbox = Sandbox(speed=100, cancel_seconds=100_000.0)
    sandbox.script("conn_shop_orders", outcome="stuck")
    client = connect(sandbox)
    job_id = start(client, "job")
    with pytest.raises(WaitTimeoutError, match="was asked to stop, and had not ended"):
        end_run(client, "job", job_id, timeout_seconds=0.2)
    assert end_run(client, "job", job_id, wait=False).status in ("active", "cancelling")


def test_an_id_that_another_target_has_now_is_left_alone() -> None:
    sandbox = Sandbox(speed=0)
    client = connect(sandbox)
    for kind in ("job", "run"):
        run_id = start(client, kind)
        handle = RunHandle(kind, run_id, "another", True, 0.0, 1.0, "token")  # type: ignore[arg-type]
        with pytest.raises(NotFoundError, match="and not of another"):
            end_run(client, kind, run_id, meant=handle)  # type: ignore[arg-type]
    assert sandbox.cancels() + sandbox.run_cancels() == 0


def test_a_link_needs_the_target_that_its_template_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API does not show it, the handle that names the run does."""
    monkeypatch.setattr(ending, "shown_target", lambda run, kind: None)
    client = connect(Sandbox(speed=0)).with_options(job_url_template="https://app/{connection_id}/jobs/{id}")
    job_id = start(client, "job")
    unnamed = end_run(client, "job", job_id, wait=False)
    assert (unnamed.connection_id, unnamed.link) == (None, None)
    handle = RunHandle("job", job_id, "conn_shop_orders", True, 0.0, 1.0, "token")
    named = end_run(client, "job", job_id, meant=handle, wait=False)
    assert named.link == f"https://app/conn_shop_orders/jobs/{job_id}"
    assert named.connection_id == "conn_shop_orders"


def test_an_unknown_id_is_an_error() -> None:
    with pytest.raises(PlanasonixError):
        end_run(connect(Sandbox()), "run", "run_gone")
