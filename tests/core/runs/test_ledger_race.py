"""Two processes on one slot of the file ledger, and processes killed with -9: one wins, and what it wrote stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planasonix.errors import ConflictError
from planasonix.runs import Provenance, Record, SqliteLedger, SyncRequest

PROCESSES = multiprocessing.get_context("fork")
RACERS, ROUNDS = 4, 10


def record(generation: int = 0) -> Record:
    made = Record.fresh("token", SyncRequest("conn_1"), Provenance("x", "x").metadata("token", 0))
    return replace(made, generation=generation, sent_at=1.0)


def race(path: Path, barrier: Any, results: Any) -> None:
    """In each round: read, wait for the others to have read, write."""
    for number in range(ROUNDS):
        ledger = SqliteLedger(path, f"slot-{number % 2}")
        ledger.read()
        barrier.wait(30)
        try:
            ledger.write(record())
            results.put(number)
        except ConflictError:
            pass
        barrier.wait(30)


def test_of_several_processes_that_read_the_same_exactly_one_may_write(tmp_path: Path) -> None:
    """Also where all write the very same words, as tries do that come back to one request. The file is made in the
    race, too."""
    barrier, results = PROCESSES.Barrier(RACERS), PROCESSES.Queue()
    racers = [PROCESSES.Process(target=race, args=(tmp_path / "l.db", barrier, results)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    won = sorted(results.get(timeout=60) for _ in range(ROUNDS))
    for racer in racers:
        racer.join(30)
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    assert won == list(range(ROUNDS))
    assert results.empty()


def write_for_ever(path: Path, done: Any) -> None:
    ledger = SqliteLedger(path, "slot")
    ledger.read()
    for generation in range(1_000_000):
        ledger.write(record(generation))
        done.send(generation)


@pytest.mark.parametrize("after", [0, 1, 7])
def test_what_was_written_before_a_kill_stays_and_the_next_process_goes_on(tmp_path: Path, after: int) -> None:
    path = tmp_path / "l.db"
    ours, theirs = PROCESSES.Pipe(duplex=False)
    writer = PROCESSES.Process(target=write_for_ever, args=(path, theirs))
    writer.start()
    theirs.close()
    acknowledged = [ours.recv() for _ in range(after + 1)]
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(30)
    while True:
        try:
            acknowledged.append(ours.recv())
        except EOFError:
            break
    ledger = SqliteLedger(path, "slot")
    found = ledger.read()
    assert found is not None
    assert found == record(found.generation)
    assert found.generation in (acknowledged[-1], acknowledged[-1] + 1)
    ledger.write(record(99))
    assert SqliteLedger(path, "slot").read() == record(99)
