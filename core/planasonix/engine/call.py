"""One logical call: as many tries as the policy, the deadline and the budgets allow."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from planasonix.engine.budget import RetryBudget
from planasonix.engine.clock import Clock
from planasonix.engine.deadline import Deadline
from planasonix.engine.effects import Effect, Emit, Reply, Request, Send, Sleep
from planasonix.engine.events import GaveUp, Paced, RequestStarted, ResponseReceived, Retrying
from planasonix.engine.masking import masked
from planasonix.engine.pacing import Pacer
from planasonix.engine.policy import Policy, is_unclear
from planasonix.engine.retry_after import asked_pause
from planasonix.errors import (
    APIError,
    Attempt,
    PlanasonixError,
    RateLimitError,
    TransportError,
    error_from_reply,
    request_id_of,
)

T = TypeVar("T")
Steps: TypeAlias = Generator[Effect, Reply | None, T]

# Callers that wait for the same moment are spread over this share of their wait, at most one second.
_SPREAD_SHARE = 0.1
_SPREAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The end of a call that went well: what was read, from which reply, and the tries that failed before
    it.
    """

    value: T
    reply: Reply
    failures: tuple[Attempt, ...] = ()

    @property
    def attempts(self) -> int:
        """How many tries it took, the good one included."""
        return len(self.failures) + 1


def call(
    request: Request,
    read: Callable[[Reply], T],
    *,
    policy: Policy,
    deadline: Deadline,
    pacer: Pacer,
    clock: Clock,
    rng: random.Random,
    budget: RetryBudget | None = None,
    secrets: tuple[str, ...] = (),
) -> Steps[Answer[T]]:
    """The steps of one call.

    `read` makes a value of a 2xx reply and raises `InvalidResponseError` if it cannot. It runs inside the
    loop, so that an answer that arrived damaged counts as lost. `secrets` are masked in whatever a server
    sends back, before `read` sees it.

    Raises the last try's error with all tries in `attempts`. If an earlier try of a write may have had its
    effect, that error's `outcome` is "unknown", whatever the last answer was: a 429 after a lost answer
    does not mean "nothing done".
    """
    return _Call(request, policy, deadline, pacer, clock, rng, budget, secrets).steps(read)


class _Call:
    def __init__(
        self,
        request: Request,
        policy: Policy,
        deadline: Deadline,
        pacer: Pacer,
        clock: Clock,
        rng: random.Random,
        budget: RetryBudget | None,
        secrets: tuple[str, ...],
    ) -> None:
        self._request = request
        self._policy = policy
        self._deadline = deadline
        self._pacer = pacer
        self._clock = clock
        self._rng = rng
        self._budget = budget if policy.repeat == "read" else None
        self._secrets = secrets
        self._failures: list[Attempt] = []
        self._last_error: PlanasonixError | None = None
        self._maybe_done = False

    def steps(self, read: Callable[[Reply], T]) -> Steps[Answer[T]]:
        if self._budget is not None:
            self._budget.deposit()
        while True:
            yield from self._wait_for_turn()
            sent_at = self._clock.time()
            try:
                return (yield from self._try_once(read))
            except PlanasonixError as caught:
                error = caught
            self._record(error, sent_at)
            yield from self._prepare_retry(error)

    def _wait_for_turn(self) -> Steps[None]:
        """Ends when the pacer has admitted this call, which must then be settled."""
        request = self._request
        while True:
            now = self._clock.monotonic()
            if self._deadline.remaining(now) <= 0.0:
                yield from self._give_up("its deadline passed")
            delay = self._pacer.admit(request.priority, now)
            if delay is None:
                return
            spare = self._deadline.remaining(now) - delay.seconds
            if spare <= 0.0:
                # Waiting would be in vain, so the caller learns it now.
                yield from self._give_up("its turn comes after its deadline")
            # The spreading must not cost a caller the time that it still has.
            spread = min(_SPREAD_SECONDS, delay.seconds * _SPREAD_SHARE, spare / 2)
            seconds = delay.seconds + self._rng.uniform(0.0, spread)
            yield Emit(Paced(request.operation, request.priority, seconds, delay.reason))
            yield Sleep(seconds)

    def _try_once(self, read: Callable[[Reply], T]) -> Steps[Answer[T]]:
        request, number = self._request, len(self._failures) + 1
        reply: Reply | None = None
        started = self._clock.monotonic()
        try:
            yield Emit(RequestStarted(request.operation, request.method, request.path, number))
            reply = yield Send(request, min(self._policy.timeout_seconds, self._deadline.remaining(started)))
        finally:
            now = self._clock.monotonic()
            headers = None if reply is None else reply.headers
            self._pacer.settle(headers, now=now, wall=self._clock.time(), admitted_at=started)
        if reply is None:
            raise TypeError("a driver must answer Send with a Reply or throw TransportError")
        reply = masked(reply, self._secrets)
        request_id = request_id_of(reply.headers, self._secrets)
        yield Emit(ResponseReceived(request.operation, reply.status, request_id, number, now - started))
        if not 200 <= reply.status < 300:
            raise error_from_reply(
                reply.status,
                reply.headers,
                reply.body,
                operation=request.operation,
                secrets=self._secrets,
                now=self._clock.time(),
            )
        return Answer(read(reply), reply, tuple(self._failures))

    def _record(self, error: PlanasonixError, sent_at: float) -> None:
        status = error.status_code if isinstance(error, APIError) else None
        text = f"{type(error).__name__}: {error.message}"
        self._failures.append(Attempt(sent_at, status, text, error.request_id))
        self._last_error = error
        self._maybe_done = self._maybe_done or (self._policy.repeat != "read" and is_unclear(error))

    def _prepare_retry(self, error: PlanasonixError) -> Steps[None]:
        """Sleeps until the next try is due, or raises the error."""
        request = self._request
        pause = asked_pause(error) or 0.0
        if pause:
            # For everybody with this credential: what the server told one caller holds for all.
            self._pacer.pause(pause, self._clock.monotonic())
        if not self._policy.may_repeat(error):
            yield from self._give_up(None)
        if len(self._failures) >= self._policy.max_tries:
            yield from self._give_up(None)
        delay = pause + self._policy.backoff.delay(len(self._failures), self._rng)
        if delay >= self._deadline.remaining(self._clock.monotonic()):
            yield from self._give_up("the next try would come after its deadline")
        # A 429 is no outage: the server is well and said when to come back.
        if self._budget is not None and not isinstance(error, RateLimitError) and not self._budget.withdraw():
            yield from self._give_up("too many recent calls with this API key were retries")
        last = self._failures[-1]
        self._failures[-1] = replace(last, slept_seconds=delay)
        yield Emit(
            Retrying(request.operation, len(self._failures), delay, last.error or "", last.status, last.request_id)
        )
        yield Sleep(delay)

    def _give_up(self, reason: str | None) -> Steps[None]:
        """Raises the last try's error; without a try, one that says why there was none."""
        error = self._last_error
        if error is None:
            error = TransportError(
                f"{self._request.operation}: not sent: {reason}",
                outcome="not_sent",
                hint="Allow more time (deadline_seconds), or make fewer calls with this API key.",
            )
        elif reason is not None:
            error.hint = " ".join(filter(None, (error.hint, f"Not tried again: {reason}.")))
        if self._maybe_done:
            error.outcome = "unknown"
        text = f"{type(error).__name__}: {error.message}"
        status = error.status_code if isinstance(error, APIError) else None
        yield Emit(GaveUp(self._request.operation, len(self._failures), text, status))
        raise error.with_attempts(self._failures)
