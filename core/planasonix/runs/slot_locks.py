"""One process a slot: a lock of the operating system beside the ledger's file, which a killed process loses at once.

The file is named by a hash, because a slot may hold any character. Where the system or the folder's file system has no
such locks nothing is held, and what a process wrote first still wins (`SqliteSlots.write`).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN

from planasonix.errors import ConflictError

_TRIES = 5
_PAUSE_SECONDS = 0.05
"""Whoever only asks whether a slot is held has it for an instant."""


@contextmanager
def hold(path: str, slot: str) -> Generator[None]:
    """Hold the slot of this ledger; raises `ConflictError` when another holder has it."""
    descriptor = _taken(path, slot)
    try:
        yield
    finally:
        if descriptor is not None:
            # Removed while it is held: who opened it meanwhile sees that its name is gone (`_locked`).
            with suppress(OSError):
                os.unlink(_lock_path(path, slot))
            os.close(descriptor)


def is_held(path: str, slot: str) -> bool:
    """Whether a process holds the slot now. Makes no file."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        descriptor = os.open(_lock_path(path, slot), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (EACCES, EAGAIN)
    finally:
        os.close(descriptor)
    return False


def _taken(path: str, slot: str) -> int | None:
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_SECONDS)
        try:
            return _locked(_lock_path(path, slot))
        except BlockingIOError:
            continue
    raise ConflictError(
        f"Another process works on {slot!r} of the ledger {path}.",
        status_code=409,
        hint="Let it end, or end it, then start this one again.",
    )


def _locked(lock_path: str) -> int | None:
    """An open, locked file, or None where there are no such locks; raises `BlockingIOError` where it is taken."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(descriptor, lock_path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            os.close(descriptor)
            return None
        # Its last holder removed it between our two calls: lock the file that has the name now.
        os.close(descriptor)


def _has_name(descriptor: int, lock_path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock_path))
    except FileNotFoundError:
        return False


def _lock_path(path: str, slot: str) -> str:
    # By the real path: two names of one file are one ledger.
    return f"{os.path.realpath(path)}.{hashlib.sha256(slot.encode()).hexdigest()[:16]}.lock"
