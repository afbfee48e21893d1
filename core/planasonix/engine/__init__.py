"""Decisions about requests, free of I/O: retry, deadline, pacing and paging.

The decisions are generators that yield effects (`Send`, `Sleep`, `Emit`). A driver carries the effects out:
`drive` with blocking calls, `adrive` on an event loop, `engine.simulate` on a clock that a test moves. All
three run the very same decisions, so what holds on the simulated clock holds for both clients. Standard
library only.
"""

from planasonix.engine.backoff import Backoff
from planasonix.engine.budget import RetryBudget, budget_for
from planasonix.engine.call import Answer, Steps, call
from planasonix.engine.clock import SYSTEM_CLOCK, Clock, SystemClock
from planasonix.engine.deadline import Deadline
from planasonix.engine.drivers import adrive, drive
from planasonix.engine.effects import Effect, Emit, Priority, Reply, Request, Send, Sleep
from planasonix.engine.events import Event, GaveUp, Paced, RequestStarted, ResponseReceived, Retrying
from planasonix.engine.pacing import Pacer, pacer_for
from planasonix.engine.paging import Page, PageWalk
from planasonix.engine.policy import Policy, Repeat

__all__ = [
    "SYSTEM_CLOCK",
    "Answer",
    "Backoff",
    "Clock",
    "Deadline",
    "Effect",
    "Emit",
    "Event",
    "GaveUp",
    "Paced",
    "Pacer",
    "Page",
    "PageWalk",
    "Policy",
    "Priority",
    "Repeat",
    "Reply",
    "Request",
    "RequestStarted",
    "ResponseReceived",
    "RetryBudget",
    "Retrying",
    "Send",
    "Sleep",
    "Steps",
    "SystemClock",
    "adrive",
    "budget_for",
    "call",
    "drive",
    "pacer_for",
]
