"""The state of a workspace goes to a file and back, and whatever else is in the file is said."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from dagster_planasonix.state import ColumnState, TableState, read_state, state_from_json, write_state
from planasonix.errors import ConfigurationError
from tests.dagster.states import NOON, connection, state

FULL = state(
    connection("conn_shop", "public.orders", "public.items"),
    connection(
        "conn_ünï",
        name='a "name"',
        type=None,
        status="active",
        paused=True,
        schedule="0 6 * * *",
        schedule_timezone="Europe/Berlin",
        tables=(TableState(None, "events", (ColumnState("id", "BIGINT", False), ColumnState("note"))),),
    ),
    connection("conn_bucket", tables=()),
    connection("conn_not_asked", tables=None),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_state(tmp_path / "deep" / "state", FULL)
    assert read_state(tmp_path / "deep" / "state") == FULL
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["state"]


def test_it_is_plain_json_with_a_line_a_table() -> None:
    text = FULL.to_json()
    assert json.loads(text)["version"] == 1
    assert sum('"name": "orders"' in line for line in text.splitlines()) == 1
    assert text == FULL.to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a Planasonix state"),
        ("[]", "is not a Planasonix state"),
        ('{"connections": []}', "is not a Planasonix state"),
        ('{"version": 0, "connections": []}', "has version 0, this dagster-planasonix reads version 1"),
        ('{"version": 2}', "has version 2"),
        ('{"version": 1}', "cannot be read"),
        ('{"version": 1, "fetched_at": "x", "base_url": "", "connections": []}', "cannot be read"),
        ('{"version": 1, "fetched_at": "2026-01-01", "base_url": "", "connections": [[]]}', "cannot be read"),
        ('{"version": 1, "fetched_at": "2026-01-01", "base_url": "", "connections": [{}]}', "cannot be read"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        state_from_json(text)
    assert "dg utils refresh-defs-state" in str(caught.value)


def test_a_missing_file_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no state at .*gone"):
        read_state(tmp_path / "gone")


def test_its_age_is_hours_since_it_was_fetched() -> None:
    assert FULL.age_hours(NOON + timedelta(hours=36)) == 36
    assert FULL.age_hours(NOON - timedelta(hours=1)) == 0
