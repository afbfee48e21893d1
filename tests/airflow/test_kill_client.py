"""Kills that come together share a client; none of them takes it from the others, and the last one closes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_planasonix.triggers import kill_client
from airflow_provider_planasonix.triggers.kill_client import AT_A_TIME, lent_client


class Client:
    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class Connections:
    """Airflow's connections: a look-up takes a while, and fails while `away` is set."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Client]] = []
        self.away: Exception | None = None

    async def client(self, conn_id: str, lines: Any) -> Client:
        await asyncio.sleep(0.05)
        if self.away is not None:
            raise self.away
        self.made.append((conn_id, Client()))
        return self.made[-1][1]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    all_of_them = Connections()
    monkeypatch.setattr(kill_client, "client_with_patience", all_of_them.client)
    return all_of_them


LINES: Any = None


async def kill(conn_id: str = "c", seconds: float = 0.01) -> Client:
    async with lent_client(conn_id, LINES) as client:
        assert not client.closed
        await asyncio.sleep(seconds)
        return client


def test_a_thousand_kills_look_up_their_connection_once(connections: Connections) -> None:
    async def main() -> None:
        clients = await asyncio.gather(*(kill() for _ in range(1000)))
        assert len(set(map(id, clients))) == 1

    asyncio.run(main())
    assert [(conn_id, client.closed) for conn_id, client in connections.made] == [("c", 1)]


def test_only_so_many_have_a_turn(connections: Connections) -> None:
    busy, most = 0, 0

    async def kill() -> None:
        nonlocal busy, most
        async with lent_client("c", LINES):
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.01)
            busy -= 1

    async def main() -> None:
        await asyncio.gather(*(kill() for _ in range(3 * AT_A_TIME)))

    asyncio.run(main())
    assert most == AT_A_TIME


def test_each_connection_has_its_own_and_later_kills_a_new_one(connections: Connections) -> None:
    async def main() -> None:
        await asyncio.gather(kill("a"), kill("b"))
        await kill("a")

    asyncio.run(main())
    assert [(conn_id, client.closed) for conn_id, client in connections.made] == [("a", 1), ("b", 1), ("a", 1)]


def test_one_that_waits_no_longer_leaves_the_client_to_the_others(connections: Connections) -> None:
    async def main() -> None:
        first, other = asyncio.create_task(kill()), asyncio.create_task(kill(seconds=0.2))
        await asyncio.sleep(0.01)
        first.cancel()
        await other

    asyncio.run(main())
    assert [client.closed for _, client in connections.made] == [1]


def test_a_look_up_that_nobody_waits_for_ends(connections: Connections) -> None:
    async def main() -> None:
        only = asyncio.create_task(kill())
        await asyncio.sleep(0.01)
        only.cancel()
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert connections.made == []


def test_a_look_up_that_fails_is_told_to_all_and_made_anew_for_the_next(connections: Connections) -> None:
    connections.away = LookupError("no secrets backend")

    async def main() -> None:
        errors = await asyncio.gather(kill(), kill(), return_exceptions=True)
        assert [repr(error) for error in errors] == ["LookupError('no secrets backend')"] * 2
        connections.away = None
        await kill()

    asyncio.run(main())
    assert [client.closed for _, client in connections.made] == [1]
