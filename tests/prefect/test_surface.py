"""What a flow author meets: the same options everywhere, mistakes that name their fix, docstrings that run."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import textwrap
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from prefect import Flow, Task, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from pydantic import BaseModel, SecretStr

from planasonix.errors import ConfigurationError
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import (
    PlanasonixBackfill,
    PlanasonixCredentials,
    PlanasonixPipelineRun,
    PlanasonixSync,
    RunOptions,
    flows,
    tasks,
)
from prefect_planasonix.deferred import run_sync_deferred
from prefect_planasonix.option_arguments import OptionArguments
from tests.pages import ROOT
from tests.prefect.conftest import CANARY_KEY

JOB_BLOCKS = [PlanasonixSync, PlanasonixBackfill, PlanasonixPipelineRun]
OPTIONS = {one.name: one.default for one in fields(RunOptions)}
FLOWS = {name: each for name, each in vars(flows).items() if isinstance(each, Flow)}
TASKS = {name: each for name, each in vars(tasks).items() if isinstance(each, Task)}


@pytest.fixture
def credentials(sandbox: RunningSandbox) -> PlanasonixCredentials:
    sandbox.set_speed(1000)
    return PlanasonixCredentials(api_key=SecretStr(CANARY_KEY), base_url=sandbox.url)


@pytest.fixture
def saved(credentials: PlanasonixCredentials, prefect_server: str) -> PlanasonixCredentials:
    credentials.save("main", overwrite=True)
    return credentials


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_takes_each_option_with_its_default_and_its_form_describes_all(name: str) -> None:
    form = FLOWS[name].parameters.properties
    assert {one: form[one].get("default") for one in OPTIONS} == OPTIONS
    assert [one for one, shown in form.items() if not shown.get("description")] == []
    assert [form[one]["enum"] for one in ("if_running", "on_shutdown", "on_paused")] == [
        ["wait", "attach", "skip", "fail"],
        ["cancel", "leave"],
        ["fail", "skip"],
    ]
    assert form["credentials"].get("$ref") or form["credentials"].get("allOf")


@pytest.mark.parametrize("block", JOB_BLOCKS, ids=lambda block: block.__name__)
def test_a_block_takes_defaults_and_texts_from_the_same_place(block: type[BaseModel]) -> None:
    texts = get_type_hints(OptionArguments, include_extras=True)
    assert list(texts) == list(OPTIONS)
    assert {one: block.model_fields[one].default for one in OPTIONS} == OPTIONS
    for one, annotated in texts.items():
        assert block.model_fields[one].description == annotated.__metadata__[0].description
    assert [one for one, field in block.model_fields.items() if not field.description] == []


def test_the_twins_differ_in_nothing_but_their_names() -> None:
    for name, each in {**FLOWS, **TASKS}.items():
        if each.isasync:
            twin = {**FLOWS, **TASKS}["wait_for_run" if name == "await_for_run" else name[1:]]
            assert inspect.signature(each.fn) == inspect.signature(twin.fn), name
            assert each.name == twin.name


def test_options_of_a_flow_arrive(credentials: PlanasonixCredentials, prefect_server: str) -> None:
    outcome = flows.run_sync(
        credentials,
        "conn_shop_orders",
        expected_tables=["public.nowhere"],
        artifacts=False,
        run_key="mine",
        poll_interval_seconds=0.2,
    )
    assert outcome is not None
    assert "public.nowhere" in [table.name for table in outcome.tables]


def test_an_option_that_there_is_not_is_refused_by_a_flow(credentials: PlanasonixCredentials, prefect_server: str):
    with pytest.raises(Exception, match="timeout_secs"):
        flows.run_sync(credentials, "conn_shop_orders", timeout_secs=3)  # pyright: ignore


@pytest.mark.parametrize(
    ("block", "given", "wrong", "right"),
    [
        (PlanasonixSync, {"conection_id": "secret-thing"}, "conection_id", "connection_id"),
        (PlanasonixBackfill, {"timeout_secs": "secret-thing"}, "timeout_secs", "timeout_seconds"),
        (PlanasonixPipelineRun, {"varibles": "secret-thing"}, "varibles", "variables"),
        (PlanasonixCredentials, {"organisation_id": "secret-thing"}, "organisation_id", "organization_id"),
    ],
)
def test_code_that_misspells_a_field_is_told_the_right_one(
    block: Any, given: dict[str, Any], wrong: str, right: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s)'{wrong}'.*Did you mean {right}") as caught:
        block(**given)
    assert caught.value.field == wrong
    assert "secret-thing" not in str(caught.value)


def test_a_document_of_another_version_loads_and_names_what_it_does_not_know(
    saved: PlanasonixCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    document_id = PlanasonixSync(credentials=saved, connection_id="conn_shop_orders").save("of-later", overwrite=True)
    with get_client(sync_client=True) as client:
        # The server keeps no reference that an update does not name.
        account = client.read_block_document_by_name("main", "planasonix-credentials")
        data = {"of_a_later_version": "secret-thing", "credentials": {"$ref": {"block_document_id": str(account.id)}}}
        client.update_block_document(document_id, BlockDocumentUpdate(data=data, merge_existing_data=True))
    loaded = PlanasonixSync.load("of-later")
    assert isinstance(loaded, PlanasonixSync)
    assert loaded.connection_id == "conn_shop_orders"
    assert loaded.credentials.api_key.get_secret_value() == CANARY_KEY
    assert "of_a_later_version is not known" in caplog.text
    assert "secret-thing" not in caplog.text


async def unawaited() -> PlanasonixCredentials:
    raise AssertionError("nobody awaits it")


@pytest.mark.parametrize(
    ("made", "hint"),
    [
        (lambda: "plnx_live_secret", r"PlanasonixCredentials\.load\("),
        (unawaited, r"await PlanasonixCredentials\.aload"),
    ],
    ids=["a name", "a coroutine"],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: flows.run_sync(wrong, "conn_shop_orders"),
        lambda wrong: asyncio.run(flows.arun_backfill(wrong, "conn_shop_orders", "2026-01-01Z", "2026-01-02Z")),
        lambda wrong: flow(lambda: tasks.start_sync(wrong, "conn_shop_orders"), name="a-flow")(),
        lambda wrong: flow(lambda: tasks.wait_for_run(wrong, "job_1"), name="a-flow")(),
        lambda wrong: flow(lambda: tasks.cancel_run(wrong, "job_1"), name="a-flow")(),
        lambda wrong: flow(lambda: run_sync_deferred(wrong, "conn_shop_orders"), name="a-flow")(),
        lambda wrong: PlanasonixSync(credentials=wrong, connection_id="conn_shop_orders"),
    ],
    ids=["run_sync", "arun_backfill", "start_sync", "wait_for_run", "cancel_run", "deferred", "block"],
)
def test_what_is_no_block_is_answered_with_the_way_to_one(prefect_server: str, made: Any, hint: str, call: Any) -> None:
    with pytest.raises(ConfigurationError, match=hint) as caught:
        call(made())
    assert "plnx_live_secret" not in str(caught.value)


def test_a_sync_twin_in_an_event_loop_works_and_says_once_what_it_does(
    credentials: PlanasonixCredentials, prefect_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    async def mixed() -> None:
        job = PlanasonixSync(credentials=credentials, connection_id="conn_shop_orders", poll_interval_seconds=0.2)
        job.trigger().wait_for_completion()

    asyncio.run(mixed())
    told = [one for one in caplog.records if "blocks the event loop" in one.getMessage()]
    assert [one.levelno for one in told] == [logging.WARNING]
    assert told[0].name == "prefect.flow_runs"
    assert "arun_sync" in told[0].getMessage()
    assert "Ctrl-C" in told[0].getMessage()


def test_its_twins_say_nothing(
    credentials: PlanasonixCredentials, prefect_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(flows.arun_sync(credentials, "conn_shop_orders", poll_interval_seconds=0.2))
    flows.run_sync(credentials, "conn_shop_orders", poll_interval_seconds=0.2)
    assert "blocks the event loop" not in caplog.text


@pytest.mark.parametrize("name", [*FLOWS, *TASKS])
def test_a_docstring_tells_all_and_its_example_runs(
    name: str, saved: PlanasonixCredentials, sandbox: RunningSandbox
) -> None:
    each = {**FLOWS, **TASKS}[name]
    text = inspect.getdoc(each.fn) or ""
    if each.isasync:
        assert text.startswith(f"As `{'wait_for_run' if name == 'await_for_run' else name[1:]}`")
        return
    assert "Raises" in text or "raises" in text
    assert "eturn" in text
    assert "Source: facts" in text
    if name == "wait_for_run":
        assert "Example: see `start_sync`" in " ".join(text.split())
        return
    _, _, example = text.partition("\n    from ")
    example = textwrap.dedent("    from " + example.partition("\n\nArgs:")[0])
    job = PlanasonixSync(credentials=saved, connection_id="conn_shop_orders").trigger()
    names: dict[str, Any] = {}
    exec(compile(example.replace("job_123", str(job.id)), name, "exec", dont_inherit=True), names)
    own = [one for one in names.values() if isinstance(one, Flow) and not str(one.fn.__module__).startswith("prefect_")]
    for one in own:
        one()
    assert len(sandbox.journal) > 1


def test_blocks_can_be_registered_by_the_name_of_the_package(prefect_server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "block", "register", "-m", "prefect_planasonix"],
        env={**os.environ, "PREFECT_API_URL": prefect_server, "COLUMNS": "200"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    for name in ("Planasonix Credentials", *(f"Planasonix {each}" for each in ("Sync", "Backfill", "Pipeline Run"))):
        assert name in done.stdout
    with get_client(sync_client=True) as client:
        for block in JOB_BLOCKS:
            assert client.read_block_type_by_slug(block.get_block_type_slug()).description
