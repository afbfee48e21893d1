"""A tenant with a clock of its own, and a listener that writes down what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from planasonix import Planasonix
from planasonix.runs import Interest, PollCursor, Polled, poll_runs
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

ORDERS, INVENTORY, TICKETS = "conn_shop_orders", "conn_shop_inventory", "conn_support_tickets"
HEADERS = {"authorization": f"Bearer {DEFAULT_API_KEY}", "content-type": "application/json"}


class Heard:
    """What the listener was told; `interest` and `fails` say how it takes it."""

    def __init__(self) -> None:
        self.ended_ids: list[str] = []
        self.overdue_ids: list[str] = []
        self.given_up_ids: list[str] = []
        self.interest: Callable[[str], Interest] = lambda run_id: Interest()
        self.fails: Callable[[str], bool] = lambda run_id: False

    def sees(self, connection_id: str, kind: str, run: Any) -> Interest:
        return self.interest(run.id)

    def ended(self, connection_id: str, kind: str, run: Any) -> None:
        if self.fails(run.id):
            raise ValueError("an odd record")
        self.ended_ids.append(run.id)

    def overdue(self, connection_id: str, kind: str, run: Any) -> None:
        self.overdue_ids.append(run.id)

    def given_up(self, connection_id: str, kind: str, run_id: str, why: Exception, created_at: float) -> None:
        self.given_up_ids.append(run_id)


class Setting:
    """A tenant, a client, what was heard, and the cursor as an orchestrator keeps it: a text."""

    def __init__(self, **switches: Any) -> None:
        self.sandbox = Sandbox(speed=0, **switches)
        self.client = Planasonix(DEFAULT_API_KEY, transport=self.sandbox.transport())
        self.heard = Heard()
        self.text: str | None = None
        self.logged: list[str] = []

    def look(self, *connection_ids: str, **options: Any) -> Polled:
        cursor = PollCursor.from_text(self.text)
        polled = poll_runs(
            self.client,
            cursor,
            connection_ids or (ORDERS,),
            self.heard,  # type: ignore[arg-type]
            log=lambda level, text: self.logged.append(f"{level}: {text}"),
            **{"now": self.sandbox.clock.time} | options,
        )
        self.text = cursor.to_text()
        return polled

    def sync(self, connection_id: str = ORDERS) -> str:
        return self.client.connections.sync(connection_id).id

    def synced(self, connection_id: str = ORDERS) -> str:
        """The id of a job that has ended."""
        job_id = self.sync(connection_id)
        self.sandbox.advance(60)
        return job_id

    def calls(self, operation: str | None = None) -> int:
        return sum(operation in (None, entry.operation) for entry in self.sandbox.journal)


def connections(setting: Setting, number: int) -> list[str]:
    made: list[str] = []
    for n in range(number):
        body = {"name": f"watched_{n}", "type": "postgres", "config": {"host": "db"}, "credentialId": "cred_1"}
        reply = setting.sandbox.handle("POST", "/api/connections", (), HEADERS, json.dumps(body).encode())
        made.append(json.loads(reply.body)["id"])
    return made


def foreign_jobs(setting: Setting, number: int, *, every_seconds: float) -> None:
    for _ in range(number):
        setting.sandbox.handle("POST", f"/api/v1/connections/{ORDERS}/sync", (), HEADERS, b"")
        setting.sandbox.advance(every_seconds)
