"""Events for the tests of the inbox."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from planasonix.webhooks import Event
from planasonix.webhooks.inbox import Arrival, Inbox
from planasonix.webhooks.inbox.address import address_of
from planasonix.webhooks.inbox.box import dialect_of
from planasonix.webhooks.inbox.store.base import Store


def job_event(number: int | str, **fields: Any) -> Event:
    """The success of a job, unless `fields` say something else."""
    body = {"id": f"evt_{number}", "type": "job.succeeded", "job_id": f"job_{number}"} | fields
    return Event.parse(json.dumps(body).encode())


def arrived(number: int | str, **fields: Any) -> Arrival:
    return Arrival.of(job_event(number, **fields))


def open_at(url: str, clock: Callable[[], datetime]) -> Inbox:
    """An inbox whose time is the test's; leases go by the database's all the same."""
    address = address_of(url)
    inbox = Inbox(Store(address, dialect_of(address.store)), url, clock=clock)
    inbox.last_seq()
    return inbox


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/inbox.db"


# Forked: each process would need seconds to import what is imported here already.
FORK = multiprocessing.get_context("fork")
