"""Loops are cut: an event that starts a run, whose event starts a run, stops at a set depth, and no event acts twice.

    act = LoopGuard(inbox).enter(stored.event, "reload orders")      # FeedbackLoopError: too deep
    if act.run is None:                                              # else it was done, by whomever
        handle = start_run(client, request, provenance=act.provenance(mine), intent=act.intent, …)
        guard.started(act, handle.kind, handle.id)

How deep a run is stands in three places, and the deepest counts: the inbox, which remembers what every event has
started; the ledger of whoever started it, where the caller looks; and the job's metadata, for tenants that send it
back, which none has to (facts §1.1).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from planasonix.errors import ConfigurationError, FeedbackLoopError
from planasonix.runs import Provenance
from planasonix.runs.metadata_names import DEPTH
from planasonix.webhooks.inbox.records import end_of

if TYPE_CHECKING:
    from planasonix.watch import Kind
    from planasonix.webhooks.event import Event
    from planasonix.webhooks.inbox import Inbox

MAX_DEPTH = 3
_LONGEST_ACTION = 200
_A_PART = "(part of an act)"


def guard(event: Event, max_depth: int = MAX_DEPTH, *, depth: int = 0, chain: Iterable[str] = ()) -> int:
    """The depth of what this event may start: one more than that of the event's own run.

    `depth` is what the caller knows of that run (0 for one that no event started), for example from its ledger record;
    the event's body may say more. `chain` tells in words how it came to be. Raises `FeedbackLoopError` above
    `max_depth`.

    >>> from planasonix.webhooks import Event
    >>> event = Event.parse(b'{"id": "evt_1", "type": "job.succeeded", "job_id": "job_1"}')
    >>> guard(event), guard(event, depth=2)
    (1, 3)
    """
    if isinstance(max_depth, bool) or max_depth < 0:
        raise ConfigurationError(f"max_depth must be 0 or more, got {max_depth!r}.", field="max_depth")
    here = max(depth, _depth_told(event.payload), _depth_told(event.payload.get("data")))
    if here < max_depth:
        return here + 1
    told = " -> ".join([*chain, _name(event)])
    raise FeedbackLoopError(
        f"{_name(event)} starts nothing: {here} runs in a row were started by events, {max_depth} may be ({told}).",
        hint="Let the first of these actions leave out the events of what it starts itself, or raise max_depth if the "
        "chain has an end.",
    )


@dataclass(frozen=True, slots=True)
class Act:
    """What an event starts. `depth` counts the runs of its chain that events have started, its own included; `chain`
    tells them in words, the first one first. `run` is the run that it has started, None as long as none is known.
    """

    event_key: str
    event_id: str
    action: str
    depth: int
    chain: tuple[str, ...]
    run: tuple[str, str] | None = None

    @property
    def intent(self) -> str:
        """For the run engine: the same each time, so that two tries of one act start one job."""
        return hashlib.sha256(f"{self.event_key}\0{self.action}".encode()).hexdigest()[:32]

    def provenance(self, mine: Provenance) -> Provenance:
        """The caller's provenance with the depth, which goes into the ledger and the job's metadata."""
        details = {**mine.details, "caused_by_event": self.event_id}
        return replace(mine, depth=max(mine.depth, self.depth), details=details)


class LoopGuard:
    """Keeps in the inbox what events have started. Safe for any number of threads and processes."""

    def __init__(self, inbox: Inbox, *, max_depth: int = MAX_DEPTH) -> None:
        self._inbox = inbox
        self._max_depth = max_depth

    def enter(self, event: Event, action: str, *, depth: int = 0, metadata: Mapping[str, Any] | None = None) -> Act:
        """Claim `action`, a name that stays the same over restarts, for this event.

        The same act comes back each time, with the run that it has started: none means that it is still to be done,
        also after a crash, where its `intent` finds the job again that may have been started. `depth` is what the
        caller's own ledger says of the event's run, and `metadata` what the API shows of it.

        Raises `FeedbackLoopError` where the event's run is too deep in a chain, `ConfigurationError` for an action
        without a name, and what the inbox raises.
        """
        if not action.strip() or len(action) > _LONGEST_ACTION:
            raise ConfigurationError(f"action must have 1 to {_LONGEST_ACTION} characters.", field="action")
        cause_depth, chain = self._cause(event)
        deeper = guard(event, self._max_depth, depth=max(depth, cause_depth, _depth_told(metadata)), chain=chain)
        told = (*chain, f"{_name(event)}: {action}")
        stored = self._inbox.act(_key(event), action, deeper, json.dumps(told))
        run = None if stored.kind is None or stored.run_id is None else (stored.kind, stored.run_id)
        return Act(stored.event_key, event.event_id, action, stored.depth, _chain_of(stored.chain), run)

    def started(self, act: Act, kind: Kind, run_id: str, *, job_ids: Iterable[str] = ()) -> None:
        """Remember the run that the act has started. `job_ids` are those of a backfill: each has events of its own."""
        chain = json.dumps(act.chain)
        for job_id in job_ids:
            key = hashlib.sha256(f"{act.event_key}\0{act.action}\0{job_id}".encode()).hexdigest()
            self._inbox.act(key, _A_PART, act.depth, chain)
            self._inbox.act_started(key, _A_PART, "job", job_id)
        self._inbox.act_started(act.event_key, act.action, kind, run_id)

    def _cause(self, event: Event) -> tuple[int, tuple[str, ...]]:
        """How deep the run of this event is, or the backfill that its job belongs to, and how that came to be."""
        named: list[tuple[str, str]] = []
        if event.kind is not None and event.object_id is not None:
            named.append((event.kind, event.object_id))
        if event.job_id is not None:
            named.append(("job", event.job_id))
        for place in (event.payload, event.payload.get("data")):
            backfill_id: object = cast("Mapping[str, Any]", place).get("backfill_id") if _is_map(place) else None
            if isinstance(backfill_id, str):
                named.append(("backfill", backfill_id))
        found = [act for each in dict.fromkeys(named) if (act := self._inbox.act_of_run(*each)) is not None]
        deepest = max(found, key=lambda act: act.depth, default=None)
        return (0, ()) if deepest is None else (deepest.depth, _chain_of(deepest.chain))


def _key(event: Event) -> str:
    """Of a delivery and the sweep's finding of the same end the same."""
    what = end_of(event) or ("event", event.event_id)
    return hashlib.sha256("\0".join(what).encode()).hexdigest()


def _chain_of(text: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", json.loads(text)))


def _name(event: Event) -> str:
    return f"{event.type} of {event.kind or 'run'} {event.object_id}" if event.object_id else event.type


def _depth_told(place: object) -> int:
    """What a body or metadata says; whoever can forge it can only cut a chain, not lengthen it."""
    if not _is_map(place):
        return 0
    told = cast("Mapping[str, Any]", place)
    metadata: object = told.get("metadata")
    value: object = cast("Mapping[str, Any]", metadata).get(DEPTH) if _is_map(metadata) else told.get(DEPTH)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)
