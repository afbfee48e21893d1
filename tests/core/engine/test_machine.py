"""Many calls at a time on one simulated clock, with one pacer and one retry budget, whatever the server does.

A call is a generator: here its steps are carried out by hand, so that hypothesis decides what comes when. A request
takes a while to reach the server, which then acts, counts it and answers; the answer takes a while too, or is lost.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planasonix.engine import Deadline, Pacer, Policy, Reply, Request, RetryBudget, Send, Sleep, call
from planasonix.engine.simulate import SimulatedClock
from planasonix.errors import InvalidResponseError, PlanasonixError, TransportError

WINDOW_SECONDS = 60.0
RATIO, BURST = 0.2, 3.0
RESERVES = {"start": 0.0, "cancel": 0.02, "other": 0.1, "poll": 0.2}

# What becomes of a request: whether it reaches the server, whether the server may have acted, and the answer.
OK, CUT, LOST, NOT_SENT = "ok", "cut", "lost", "not sent"
statuses = st.sampled_from([404, 408, 409, 429, 500, 502, 503])
fates = st.one_of(
    st.sampled_from([OK, OK, OK, CUT, LOST, NOT_SENT]),
    st.tuples(statuses, st.sampled_from([None, "2", "11", "date", "soon"])),
)


@dataclass
class Underway:
    """One call: its steps, what it waits for and until when, and all that it sent."""

    number: int
    steps: Any
    repeat: str
    priority: str
    deadline_at: float
    due: float = 0.0
    sent: list[Request] = field(default_factory=list)
    may_be_done: bool = False
    limited: bool = False
    at_server: Any = None
    answer: Any = None


class Calls(RuleBasedStateMachine):
    @initialize(limit=st.sampled_from([None, 1, 2, 5, 20]), seed=st.integers(0, 1000))
    def begin(self, limit: int | None, seed: int) -> None:
        """`limit`: calls in a window, told in the answers' headers; None: no limit, and nothing is told."""
        self.clock = SimulatedClock()
        self.pacer = Pacer()
        self.budget = RetryBudget(ratio=RATIO, burst=BURST)
        self.rng = random.Random(seed)
        self.limit = limit
        self.running: list[Underway] = []
        self.ended = 0
        self.reads = self.read_retries = 0
        self.paused_until = -math.inf
        # Of the server's present window: its number, the calls counted, and those whose answers told nobody.
        self.window, self.counted, self.untold = 0, 0, 0
        self.knows_limit = self.knew_limit_at_begin = False

    @rule(
        data=st.data(),
        repeat=st.sampled_from(["read", "read", "safe", "unsafe"]),
        priority=st.sampled_from(sorted(RESERVES)),
        deadline_seconds=st.sampled_from([None, 1.0, 20.0, 300.0]),
        max_tries=st.integers(1, 5),
    )
    def begin_a_call(
        self, data: st.DataObject, repeat: str, priority: str, deadline_seconds: float | None, max_tries: int
    ) -> None:
        number = self.ended + len(self.running)
        self.reads += repeat == "read"
        key = {"idempotency-key": f"key-{number}"}
        steps = call(
            Request("POST", "/x", headers=key, body=b"%d" % number, operation="test", priority=priority),
            self._read,
            policy=Policy(repeat, max_tries=max_tries, timeout_seconds=30.0),
            deadline=Deadline.after(deadline_seconds, self.clock),
            pacer=self.pacer,
            clock=self.clock,
            rng=self.rng,
            budget=self.budget,
        )
        deadline_at = math.inf if deadline_seconds is None else self.clock.now + deadline_seconds
        underway = Underway(number, steps, repeat, priority, deadline_at)
        self.running.append(underway)
        self._go_on(underway, data)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), late_seconds=st.sampled_from([0.0, 0.0, 0.0, 0.4, 7.0]))
    def let_the_next_thing_happen(self, data: st.DataObject, late_seconds: float) -> None:
        """Whatever is due first happens, now and then late: threads and loops are busy."""
        underway = min(self.running, key=lambda each: each.due)
        self.clock.now = max(self.clock.now, underway.due + late_seconds)
        if underway.at_server is not None:
            self._serve(underway)
        else:
            self._go_on(underway, data)

    @rule(seconds=st.sampled_from([0.7, 15.0, 50.0, 130.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Nothing happens for a while, or the whole process stands still."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def interrupt_one(self, data: st.DataObject) -> None:
        """A cancelled task: what it held is given back, and the server counts a call of which nobody hears."""
        underway = data.draw(st.sampled_from(self.running))
        if underway.at_server is not None:
            self._turn_window()
            self.counted += 1
        if underway.at_server is not None or underway.answer is not None:
            self.untold += 1
        self._leave(underway)

    @invariant()
    def calls_on_their_way_are_counted_and_no_others(self) -> None:
        if hasattr(self, "pacer"):
            on_their_way = [each for each in self.running if each.answer is not None or each.at_server is not None]
            assert self.pacer._in_flight == len(on_their_way)

    @invariant()
    def retries_of_reads_stay_within_the_budget(self) -> None:
        if hasattr(self, "pacer"):
            assert self.read_retries <= BURST + RATIO * self.reads

    # --- the driver --------------------------------------------------------------------------------------------------

    def _go_on(self, underway: Underway, data: st.DataObject) -> None:
        answer, underway.answer = underway.answer, None
        if isinstance(answer, Reply):
            self._hear(answer)
        tell = underway.steps.throw if isinstance(answer, TransportError) else underway.steps.send
        outcome = None
        try:
            effect = tell(answer)
            while not isinstance(effect, Send | Sleep):
                effect = underway.steps.send(None)
        except StopIteration:
            self._leave(underway)
            return
        except PlanasonixError as error:
            outcome = error.outcome
        if outcome is not None:
            assert outcome == "unknown" or underway.repeat == "read" or not underway.may_be_done
            self._leave(underway)
            return
        if isinstance(effect, Sleep):
            assert effect.seconds >= 0.0
            assert self.clock.now + effect.seconds <= underway.deadline_at + 1e-6
            underway.due = self.clock.now + effect.seconds
            return
        self._check(underway, effect)
        delay = st.sampled_from([0.0, 0.3, 2.5])
        underway.sent.append(effect.request)
        underway.at_server = (data.draw(fates), data.draw(delay), self.clock.now + effect.timeout_seconds)
        underway.due = self.clock.now + min(data.draw(delay), effect.timeout_seconds)

    def _hear(self, reply: Reply) -> None:
        """What the caller is told holds for all."""
        self.knows_limit = self.limit is not None
        hint = reply.headers.get("retry-after")
        if reply.status not in (429, 503) or hint is None:
            return
        if hint.isdigit():
            seconds = float(hint)
        elif hint == "soon":
            return
        else:
            until, sent = (parsedate_to_datetime(text).timestamp() for text in (hint, reply.headers["date"]))
            seconds = until - sent
        self.paused_until = max(self.paused_until, self.clock.now + seconds)

    def _leave(self, underway: Underway) -> None:
        underway.steps.close()
        self.running.remove(underway)
        self.ended += 1

    def _check(self, underway: Underway, effect: Send) -> None:
        now = self.clock.now
        assert now >= self.paused_until
        assert now < underway.deadline_at
        assert now + effect.timeout_seconds <= underway.deadline_at + 1e-6
        assert underway.sent == [effect.request] * len(underway.sent)
        assert effect.request.body == b"%d" % underway.number
        if underway.sent:
            assert underway.repeat != "unsafe" or not underway.may_be_done
            # A 429 is no outage, and costs nothing of the budget.
            self.read_retries += underway.repeat == "read" and not underway.limited

    # --- the server --------------------------------------------------------------------------------------------------

    def _serve(self, underway: Underway) -> None:
        """The request arrives, or gets lost on the way; its answer comes when it is due."""
        (fate, delay, times_out_at), underway.at_server = underway.at_server, None
        now = self.clock.now
        if fate != NOT_SENT and self._count(underway.priority):
            fate = (429, "window")
        underway.answer = self._answer(fate)
        underway.due = now + delay
        if underway.due >= times_out_at:
            underway.due = max(now, times_out_at)
            underway.answer, fate = TransportError("no answer in time"), LOST
        self.untold += fate == LOST
        status = None if isinstance(underway.answer, TransportError) else underway.answer.status
        underway.limited = status == 429
        if fate in (LOST, CUT) or status in (408, 500, 502, 503):
            underway.may_be_done = True

    def _count(self, priority: str) -> bool:
        """Whether the limit is passed. Once the client knows it, that must never happen."""
        if self.limit is None:
            return False
        self._turn_window()
        left = self.limit - self.counted + self.untold
        if self.knew_limit_at_begin:
            reserve = min(math.ceil(self.limit * RESERVES[priority]), self.limit - 1)
            assert left > reserve, f"a {priority} with {left} of {self.limit} left"
        self.counted += 1
        return self.counted > self.limit

    def _turn_window(self) -> None:
        window = int(self.clock.now // WINDOW_SECONDS)
        if window != self.window:
            self.window, self.counted, self.untold = window, 0, 0
            self.knew_limit_at_begin = self.knows_limit

    def _headers(self) -> dict[str, str]:
        wall = self.clock.time()
        headers = {"date": formatdate(wall, usegmt=True)}
        if self.limit is not None:
            begin = wall - self.clock.now
            headers |= {
                "x-ratelimit-limit": str(self.limit),
                "x-ratelimit-remaining": str(max(0, self.limit - self.counted)),
                "x-ratelimit-reset": str(math.ceil(begin + (self.window + 1) * WINDOW_SECONDS)),
            }
        return headers

    def _answer(self, fate: Any) -> Reply | TransportError:
        if fate == NOT_SENT:
            return TransportError("refused", outcome="not_sent")
        if fate == LOST:
            return TransportError("reset")
        headers = self._headers()
        if fate in (OK, CUT):
            return Reply(200, headers, b"{}" if fate == OK else b"{")
        status, hint = fate
        if hint == "date":
            headers["retry-after"] = formatdate(math.ceil(self.clock.time() + 5), usegmt=True)
        elif hint == "window":
            headers["retry-after"] = str(math.ceil((self.window + 1) * WINDOW_SECONDS - self.clock.now))
        elif hint is not None:
            headers["retry-after"] = hint
        return Reply(status, headers, b"{}")

    @staticmethod
    def _read(reply: Reply) -> bytes:
        if reply.body != b"{}":
            raise InvalidResponseError("cut", retryable=True)
        return reply.body


TestCalls = Calls.TestCase
TestCalls.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
