"""docs/events.md: its Python runs, its commands and options exist, what it points at is there.

The block that mounts the receiver needs FastAPI, and runs in `tests/airflow/test_events_mounting.py`.
"""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from planasonix import Planasonix
from planasonix.cli.group import planasonix
from planasonix.webhooks import Arrival, Event, Inbox
from tests.pages import ROOT, blocks, broken_links, missing_tests

PAGE = ROOT / "docs" / "events.md"
BODY = b'{"id": "evt_1", "type": "job.succeeded", "job_id": "job_1", "connection_id": "conn_shop_orders"}'


def names_of(defined: str) -> dict[str, Any]:
    """What the page's block that defines it holds, once it has run."""
    (code,) = [code for code in blocks(PAGE) if f"def {defined}(" in code]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    return names


def test_every_block_has_its_test() -> None:
    assert len(blocks(PAGE)) == 3, "load, reload, and the one that mounts"
    assert sum("FastAPI" in code for code in blocks(PAGE)) == 1


@pytest.mark.planasonix_sandbox(speed=400)
def test_the_wait_runs(planasonix_sandbox: Any, sqlite_url: str) -> None:
    asyncio.run(names_of("load")["load"](sqlite_url))
    with Planasonix() as client:
        assert [job.status for job in client.jobs.list()][:1] == ["succeeded"]


def test_the_loop_guard_runs(sqlite_url: str) -> None:
    reload = names_of("reload")["reload"]
    with Inbox.open(sqlite_url) as inbox:
        event = Event.parse(BODY)
        inbox.add([Arrival.of(event)])
        first = reload(inbox, event)
        assert (first.run, reload(inbox, event).intent) == (None, first.intent), "the same intent after a crash"


def test_the_commands_and_their_options_exist() -> None:
    lines = [line for code in blocks(PAGE, "bash") for line in code.splitlines() if line.startswith("planasonix ")]
    assert len(lines) >= 4
    for line in lines:
        command: click.Command = planasonix
        context = click.Context(planasonix)
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", [PAGE, PAGE.with_name("scaling.md")], ids=lambda page: page.stem)
def test_what_it_points_at_is_there(page: Path) -> None:
    assert broken_links(page) == []
    assert missing_tests(page) == []
