"""The API key that is in force, and the way to the one that follows it.

Keys are rotated while somebody waits. A client that was told where its key comes from (`reload_api_key`, or the
environment) asks there again once the server refuses it, and goes on with what it gets: the waits of hours too.

Who asks waits in a queue of one: a thousand refused calls ask once. An answer that brought nothing new is not asked
for again before `ASK_AT_MOST_EVERY_SECONDS` have passed, however often the server refuses.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias
from weakref import WeakKeyDictionary

from planasonix.client.secret import Secret
from planasonix.engine import Clock
from planasonix.errors import ConfigurationError

logger = logging.getLogger("planasonix.client")

ReloadApiKey: TypeAlias = Callable[[], str]
AsyncReloadApiKey: TypeAlias = Callable[[], "str | Awaitable[str]"]

ASK_AT_MOST_EVERY_SECONDS = 10.0
ASK_SECONDS = 20.0
"""What asking may take where it can be broken off: a secrets store that hangs must not hold the calls up."""


@dataclass
class _Queue:
    """Where those who ask wait for each other. Of one process: a fork may copy a lock that is held."""

    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
    )


class ApiKey:
    """Shared by a client and its copies, in any thread and event loop. Shows itself as little as a `Secret`."""

    def __init__(self, key: Secret, reload: AsyncReloadApiKey | None = None) -> None:
        self.in_force = key
        self._before = key
        self._reload = reload
        self._asked_at: float | None = None
        self._queue = _Queue()

    @property
    def can_be_reloaded(self) -> bool:
        """Whether it is known where the next key comes from."""
        return self._reload is not None

    @property
    def to_mask(self) -> tuple[str, ...]:
        """What no answer may show: the key, and the one before it, which calls under way may have carried."""
        if self._before is self.in_force:
            return (self.in_force.reveal(),)
        return self.in_force.reveal(), self._before.reveal()

    def reveal(self) -> str:
        """The key that is in force, itself."""
        return self.in_force.reveal()

    def replaced(self, refused: Secret, clock: Clock, seconds: float) -> bool:
        """Whether another key than the refused one is in force; asks for one if need be. Raises nothing.

        `seconds` bounds the wait for somebody else who is asking.
        """
        queue = self._here()
        if not queue.lock.acquire(timeout=max(0.0, min(seconds, ASK_SECONDS))):
            return self.in_force is not refused
        try:
            if (reload := self._due(refused, clock)) is not None:
                self._put_in_force(_at_once(_hidden(reload())))
        except Exception as error:
            _could_not(error)
        finally:
            queue.lock.release()
        return self.in_force is not refused

    async def areplaced(self, refused: Secret, clock: Clock, seconds: float) -> bool:
        """As `replaced`, with `seconds` for the asking itself, too. What is no coroutine function runs in a thread."""
        queue = self._here()
        lock = queue.of_loop.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, min(seconds, ASK_SECONDS))), lock:
                if (reload := self._due(refused, clock)) is not None:
                    self._put_in_force(await _answer_of(reload))
        except Exception as error:
            _could_not(error)
        return self.in_force is not refused

    def _due(self, refused: Secret, clock: Clock) -> AsyncReloadApiKey | None:
        """Whom to ask now, if anybody; notes the time."""
        now = clock.monotonic()
        if self._reload is None or self.in_force is not refused:
            return None
        if self._asked_at is not None and now - self._asked_at < ASK_AT_MOST_EVERY_SECONDS:
            return None
        self._asked_at = now
        return self._reload

    def _put_in_force(self, given: Secret) -> None:
        key = checked_key(given, "reload_api_key")
        if key.reveal() == self.in_force.reveal():
            return
        self._before, self.in_force = self.in_force, key
        # The next refusal is news about another key.
        self._asked_at = None
        logger.info("the API key was refused; another one is in force now")

    def _here(self) -> _Queue:
        if self._queue.pid != os.getpid():
            self._queue = _Queue()
        return self._queue

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled: pass the name of where it is kept instead")


def checked_key(key: Secret, origin: str) -> Secret:
    """The API key without surrounding blanks. Its prefix is not checked: the documents know three (facts
    §4.2, C8).

    `origin` says for the message where the key came from. No local of this frame, or of one below it, holds
    the bare key while an error is raised.
    """
    trouble = _trouble_with(key.reveal())
    if trouble is not None:
        message, remedy = trouble
        raise ConfigurationError(message, field="api_key", hint=f"It came from {origin}. {remedy}")
    return Secret(key.reveal().strip())


async def _answer_of(reload: AsyncReloadApiKey) -> Secret:
    """What it returned, however it is written. What blocks must not block the loop."""
    if not inspect.iscoroutinefunction(reload):
        answer = await asyncio.to_thread(lambda: _hidden(reload()))
        return answer if isinstance(answer, Secret) else Secret(await answer)
    return Secret(await reload())


def _hidden(answer: str | Awaitable[str]) -> Secret | Awaitable[str]:
    return answer if isinstance(answer, Awaitable) else Secret(answer)


def _at_once(answer: Secret | Awaitable[str]) -> Secret:
    if isinstance(answer, Secret):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise ConfigurationError("reload_api_key of a blocking client must not be a coroutine function")


def _could_not(error: Exception) -> None:
    # Its text may quote what was read: for our own errors alone is it known that they don't.
    reason = error.message if isinstance(error, ConfigurationError) else type(error).__name__
    logger.warning("the API key was refused, and asking for another one failed: %s", reason)


def _trouble_with(key: object) -> tuple[str, str] | None:
    """What is wrong with a key, and the remedy; None if nothing is."""
    if not isinstance(key, str):
        return f"the API key is no text, but {type(key).__name__}", "Pass it as a string."
    key = key.strip()
    if not key:
        return "the API key is empty", "Check where that value is set; a secret that could not be read is often empty."
    if not key.isascii() or not key.isprintable() or " " in key:
        return (
            "the API key contains blanks, line breaks or characters that no HTTP header may carry",
            "Copy the key again, without quotes and line breaks.",
        )
    return None
