"""Loops are cut: an event that starts a run, whose event starts a run, stops at a set depth, and no event acts twice.

    act = LoopGuard(inbox).enter(stored.event, "reload orders")      # FeedbackLoopError: too deep
    if not act.runs:                                                 # else it was done, by whomever
        handle = start_run(client, request, provenance=provenance_of(act, mine), intent=act.intent, …)
        guard.started(act, [("job", handle.id)])

How deep a run is stands in three places, and the deepest counts: the inbox, which remembers what every event has
started; the ledger of whoever started it, where the caller looks; and the job's metadata, for tenants that send it
back, which none has to (facts §1.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from planasonix.errors import ConfigurationError, FeedbackLoopError
from planasonix.runs import Provenance
from planasonix.runs.metadata_names import DEPTH
from planasonix.webhooks.inbox.records import Act, end_of

if TYPE_CHECKING:
    from planasonix.watch import Kind
    from planasonix.webhooks.event import Event
    from planasonix.webhooks.inbox import Inbox

MAX_DEPTH = 3
_LONGEST_ACTION = 200


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


class LoopGuard:
    """Keeps in the inbox what events have started. Safe for any number of threads and processes."""

    def __init__(self, inbox: Inbox, *, max_depth: int = MAX_DEPTH) -> None:
        self._inbox = inbox
        self._max_depth = max_depth

    def enter(self, event: Event, action: str, *, depth: int = 0, metadata: Mapping[str, Any] | None = None) -> Act:
        """Claim `action`, a name that stays the same over restarts, for this event.

        The same act comes back each time, with the runs that it has started: none means that it is still to be done,
        also after a crash, where its `intent` finds the job again that may have been started. `depth` is what the
        caller's own ledger says of the event's run, and `metadata` what the API shows of it.

        Raises `FeedbackLoopError` where the event's run is too deep in a chain, `ConfigurationError` for an action
        without a name, and what the inbox raises.
        """
        if not action.strip() or len(action) > _LONGEST_ACTION:
            raise ConfigurationError(f"action must have 1 to {_LONGEST_ACTION} characters.", field="action")
        cause = self._cause(event)
        here = max(depth, cause.depth if cause else 0, _depth_told(metadata))
        chain = cause.chain if cause else ()
        deeper = guard(event, self._max_depth, depth=here, chain=chain)
        act = Act(_key(event, action), event.event_id, action, deeper, (*chain, f"{_name(event)}: {action}"))
        return self._inbox.claim_act(act)

    def started(self, act: Act, runs: Iterable[tuple[Kind, str]]) -> None:
        """Remember the runs that the act has started, a backfill with its jobs: each of them has events of its own."""
        self._inbox.act_started(act.key, list(runs))

    def _cause(self, event: Event) -> Act | None:
        """What has started the run of this event, or the backfill that its job belongs to."""
        named: list[tuple[Kind, str]] = []
        if event.kind is not None and event.object_id is not None:
            named.append((event.kind, event.object_id))
        if event.job_id is not None:
            named.append(("job", event.job_id))
        for place in (event.payload, event.payload.get("data")):
            backfill_id: object = cast("Mapping[str, Any]", place).get("backfill_id") if _is_map(place) else None
            if isinstance(backfill_id, str):
                named.append(("backfill", backfill_id))
        found = [act for each in dict.fromkeys(named) if (act := self._inbox.act_of_run(*each)) is not None]
        return max(found, key=lambda act: act.depth, default=None)


def provenance_of(act: Act, mine: Provenance) -> Provenance:
    """The caller's provenance with the act's depth, which goes into the ledger and the job's metadata."""
    details = {**mine.details, "caused_by_event": act.event_id}
    return replace(mine, depth=max(mine.depth, act.depth), details=details)


def _key(event: Event, action: str) -> str:
    what = end_of(event) or ("event", event.event_id)
    return hashlib.sha256("\0".join(("act", action, *what)).encode()).hexdigest()


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
