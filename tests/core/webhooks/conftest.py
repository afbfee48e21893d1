from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.webhooks.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/inbox.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def inbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an inbox that is not made yet, on either store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/inbox.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
