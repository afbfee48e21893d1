"""Processes as the kernel sees them (/proc), so that no library is needed to find or end them."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One living process: `pid`, `parent` pid, `session` id, `state` letter of /proc, `title` (command line)."""

    pid: int
    parent: int
    session: int
    state: str
    title: str


def read(pid: int) -> Process | None:
    """Return the process with this pid, or None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    state, parent, _group, session = stat[stat.rindex(")") + 2 :].split()[:4]
    if state == "Z":
        return None
    return Process(pid, int(parent), int(session), state, title.strip())


def in_session(session: int) -> list[Process]:
    """Return the living processes of a session.

    A session, not a process group: Airflow gives every task a group of its own, but the session stays.
    """
    found = (read(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for process in found if process and process.session == session]


def kill(pid: int, sig: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def kill_session(session: int, timeout_seconds: float = 5.0) -> None:
    """Kill -9 every process of a session, also those that it starts meanwhile."""
    deadline = time.monotonic() + timeout_seconds
    while processes := in_session(session):
        for process in processes:
            kill(process.pid)
        if time.monotonic() > deadline:
            raise TimeoutError(f"session {session} still has {[p.pid for p in processes]}")
        time.sleep(0.02)


def wait_gone(pid: int, timeout_seconds: float = 5.0) -> None:
    """Wait until a process has ended; raise TimeoutError when it has not."""
    deadline = time.monotonic() + timeout_seconds
    while read(pid) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} is still alive")
        time.sleep(0.02)
