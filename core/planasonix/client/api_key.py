"""The API key that is in force, and the way to the one that follows it.

Keys are rotated while somebody waits. A client that was told where its key comes from (`reload_api_key`, or the
environment) asks there again once the server refuses it, and goes on with what it gets: the waits of hours too.

Who asks waits in a queue of one: a thousand refused calls ask once. An answer that brought nothing new is not asked
for again before `ASK_AT_MOST_EVERY_SECONDS` have passed, however often the server refuses; a function that hangs is not
called again before it has ended, and holds no call up after `ASK_SECONDS`.
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

from planasonix.client.asking import Heard, Question, close, heard_within
from planasonix.client.secret import Secret
from planasonix.engine import Clock
from planasonix.errors import ConfigurationError

logger = logging.getLogger("planasonix.client")

ReloadApiKey: TypeAlias = Callable[[], str]
AsyncReloadApiKey: TypeAlias = Callable[[], "str | Awaitable[str]"]

ASK_AT_MOST_EVERY_SECONDS = 10.0
ASK_SECONDS = 20.0
"""What asking may take before the calls go on without: a secrets store that hangs must not hold them up."""


@dataclass
class _Queue:
    """Where those who ask wait for each other. Of one process: a fork may copy a lock that is held."""

    pid: int = field(default_factory=os.getpid)
    lock: threading.RLock = field(default_factory=threading.RLock)
    question: Question | None = None
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

        `seconds` bounds the wait, for the answer or for somebody else who is asking.
        """
        question = self._question(refused, clock)
        if question is not None:
            if not question.wait(self._may_take(question, clock, seconds)):
                self._give_up(question)
            elif (to_await := question.take_to_await()) is not None:
                close(to_await)
                _could_not(ConfigurationError("reload_api_key of a blocking client must not be a coroutine function"))
        return self.in_force is not refused

    async def areplaced(self, refused: Secret, clock: Clock, seconds: float) -> bool:
        """As `replaced`. A coroutine function is called on the event loop, any other one in a thread."""
        loop = asyncio.get_running_loop()
        lock = self._here().of_loop.setdefault(loop, asyncio.Lock())
        until = loop.time() + max(0.0, min(seconds, ASK_SECONDS))
        turn = asyncio.timeout_at(until)
        try:
            async with turn:
                await lock.acquire()
        except TimeoutError:
            return self.in_force is not refused
        try:
            if inspect.iscoroutinefunction(self._reload):
                if self._is_due(refused, clock):
                    await self._ask_here(self._reload, until - loop.time())
            elif (question := self._question(refused, clock)) is not None:
                if not await question.await_end(self._may_take(question, clock, until - loop.time())):
                    self._give_up(question)
                elif (to_await := question.take_to_await()) is not None:
                    await self._ask_here(lambda: to_await, until - loop.time())
        finally:
            lock.release()
        return self.in_force is not refused

    def _is_due(self, refused: Secret, clock: Clock) -> bool:
        """Whether to ask now; notes the time if so."""
        with self._here().lock:
            now = clock.monotonic()
            if self._reload is None or self.in_force is not refused:
                return False
            if self._asked_at is not None and now - self._asked_at < ASK_AT_MOST_EVERY_SECONDS:
                return False
            self._asked_at = now
            return True

    def _question(self, refused: Secret, clock: Clock) -> Question | None:
        """The question under way; a new one if it is time to ask."""
        queue = self._here()
        with queue.lock:
            if self._reload is None or self.in_force is not refused:
                return None
            if queue.question is not None and not queue.question.has_ended:
                return queue.question
            if not self._is_due(refused, clock):
                return None
            queue.question = Question(clock.monotonic())
            queue.question.ask(self._reload, self._heard)
            return queue.question

    async def _ask_here(self, reload: Callable[[], Awaitable[str]], seconds: float) -> None:
        try:
            heard = await heard_within(reload, seconds)
        except asyncio.CancelledError:
            # The next one who is refused asks anew.
            self._asked_at = None
            raise
        self._heard(TimeoutError() if heard is None else heard)

    @staticmethod
    def _may_take(question: Question, clock: Clock, seconds: float) -> float:
        return max(0.0, min(seconds, question.asked_at + ASK_SECONDS - clock.monotonic()))

    @staticmethod
    def _give_up(question: Question) -> None:
        if not question.is_given_up:
            question.is_given_up = True
            _could_not(TimeoutError())

    def _heard(self, answer: Heard) -> None:
        try:
            if isinstance(answer, Secret):
                self._put_in_force(answer)
            else:
                _could_not(answer)
        except Exception as error:
            _could_not(error)

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


def _could_not(error: BaseException) -> None:
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
