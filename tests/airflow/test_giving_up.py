"""A signal comes at any moment, also while its thread holds a lock that the handler's own words need."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from airflow_provider_planasonix import giving_up
from airflow_provider_planasonix.task_state import TaskKey

KEY = TaskKey("nightly", "manual__1", "sync")


class LockedLog:
    """Writes under a lock that is not reentrant, as structlog does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.written = threading.Event()

    def write(self, *words: Any) -> None:
        with self.lock:
            self.written.set()

    info = warning = write


@pytest.mark.timeout(10)
@pytest.mark.parametrize(("state", "given_up"), [("running", False), ("failed", True)])
def test_a_signal_that_interrupts_the_log_is_answered(
    monkeypatch: pytest.MonkeyPatch, state: str, given_up: bool
) -> None:
    monkeypatch.setattr(giving_up, "state_within", lambda key, seconds: (True, state))
    log = LockedLog()
    with log.lock:
        assert giving_up.given_up_on_signal(KEY, log, "job_1") is given_up
        assert not log.written.is_set()
    assert log.written.wait(5)
