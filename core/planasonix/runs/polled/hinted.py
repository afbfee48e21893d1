"""One look at runs of which somebody heard that they have ended: no list is read, and each is told as `poll` tells it.

    for hint in hints:
        if not take_hint(cursor, hint, connection_ids, now=time.time()):
            break                                   # no room: the rest comes in a later look
    tell_hinted(client, cursor, connection_ids, listener, log=log)

A hint proves nothing. A run that goes on, against what was heard, is read again for a while, because an API may tell of
an end before its own GET shows it; then the hint is dropped. One that the API does not know is dropped too, unless its
owner waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planasonix.errors import AuthenticationError, NotFoundError, PlanasonixError
from planasonix.runs.drivers import Log
from planasonix.runs.effects import RunView
from planasonix.runs.polled.cursor import OpenRun, Place, PollCursor, RunKey
from planasonix.runs.polled.find import KINDS
from planasonix.runs.polled.listener import Interest, Listener
from planasonix.runs.polled.lists import JOB_TYPE
from planasonix.runs.polled.look import Look, Polled
from planasonix.runs.polled.tell import is_due, tell_these
from planasonix.runs.target import shown_target
from planasonix.watch import Kind
from planasonix.watch.protocols import reader_of

if TYPE_CHECKING:
    from planasonix.client import Planasonix

HEARD_AT_MOST = 500
"""Of one connection, hints that are not dealt with: then no further one is taken."""
EARLY_SECONDS = 120.0
"""For so long a run is read again that goes on though somebody heard of its end."""
REMEMBERED_SECONDS = 3600.0
"""How long a run that was told is known by its id, so that a second hint costs no call."""
NOBODYS = ""
"""Stands for the connection of hints that do not name it, until the API has."""
_CALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Hint:
    """Somebody said, at `heard_at` (seconds since the epoch, by our clock), that this run has ended.

    `connection_id` is None where that was not said. `again`: a person asks for it, also if it was told before.
    """

    kind: Kind
    run_id: str
    connection_id: str | None
    heard_at: float
    again: bool = False


def take_hint(cursor: PollCursor, hint: Hint, connection_ids: Collection[str], *, now: float) -> bool:
    """Note the run in the cursor, to be read by the next `tell_hinted`; False where there is no room for it now.

    What concerns none of the connections, or was told lately, needs no room. `now` as in `Hint`.
    """
    connection_id = NOBODYS if hint.connection_id is None else hint.connection_id
    if hint.kind not in KINDS or connection_id not in (*connection_ids, NOBODYS):
        return True
    place = _place(cursor, connection_id, now)
    key: RunKey = (hint.kind, hint.run_id)
    if key in place.seen and not hint.again:
        return True
    one = place.open.get(key)
    if one is None or one.heard_at is None:
        if sum(each.heard_at is not None for each in place.open.values()) >= HEARD_AT_MOST:
            return False
        place.seen.pop(key, None)
        one = place.open.setdefault(key, OpenRun(hint.heard_at))
    one.heard_at = hint.heard_at
    return True


def tell_hinted(
    client: Planasonix,
    cursor: PollCursor,
    connection_ids: Iterable[str],
    listener: Listener,
    *,
    log: Log,
    seconds: float = 40.0,
    waited_for: Mapping[str, Mapping[RunKey, OpenRun]] | None = None,
    now: Callable[[], float] = time.time,
) -> Polled:
    """Read the runs that hints name, for about `seconds` at most, and tell the listener of those that ended.

    `waited_for` are runs of each connection that go on, of which the caller knows that their end is to be told: the
    listener hears of one that is past its `due_at`, and those with a `heard_at` are read now. What is not got to, or
    fails, is left in the cursor, as in `poll_runs`. Raises `AuthenticationError` where the key was refused; other
    errors of the API are in `Polled.calls_failed`.

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import Hint, Interest, PollCursor, take_hint, tell_hinted
    >>> from planasonix.sandbox import Sandbox
    >>> class Printer:
    ...     def sees(self, connection_id, kind, run):
    ...         return Interest()
    ...
    ...     def ended(self, connection_id, kind, run):
    ...         print(connection_id, kind, run.status)
    ...
    ...     def overdue(self, connection_id, kind, run): ...
    ...     def given_up(self, connection_id, kind, run_id, why, created_at): ...
    >>> sandbox = Sandbox(speed=0)
    >>> client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    >>> job = client.connections.sync("conn_shop_orders")
    >>> sandbox.advance(60)
    >>> cursor = PollCursor.from_text(None)
    >>> take_hint(cursor, Hint("job", job.id, None, heard_at=0.0), ["conn_shop_orders"], now=0.0)
    True
    >>> told = tell_hinted(client, cursor, ["conn_shop_orders"], Printer(), log=lambda level, text: None)
    conn_shop_orders job succeeded
    """
    known = sorted(set(connection_ids))
    at = now()
    for connection_id in known:
        place = _place(cursor, connection_id, at)
        for key, one in (waited_for or {}).get(connection_id, {}).items():
            if key not in place.open and key not in place.seen:
                place.open[key] = one
    cursor.places = {each: place for each, place in cursor.places.items() if each in known or each == NOBODYS}
    looking = client.with_options(max_tries=2, deadline_seconds=_CALL_SECONDS)
    owed = {(each, key) for each, place in cursor.places.items() for key, one in place.open.items() if one.due_at}
    heard = _Heard(listener, owed, log)
    look = Look(looking, cursor, heard, log, seconds, REMEMBERED_SECONDS, 0.0, now)
    _find_connections(look, known)
    tell_these(look, _worth_a_read(look))
    for connection_id, key in owed & look.alive:
        one = cursor.places[connection_id].open[key]
        if one.due_at is None:
            # It was cancelled, most likely, and no event of that is documented (facts §3.1).
            one.heard_at = at
    _drop_false_hints(look)
    for place in cursor.places.values():
        place.marks = dict.fromkeys(KINDS, at)
        place.forget_before(REMEMBERED_SECONDS)
    for error in look.polled.calls_failed:
        if isinstance(error, AuthenticationError):
            raise error
    return look.polled


class _Heard:
    """The caller's listener, who hears only of what he would by lists, and not of what never was."""

    def __init__(self, listener: Listener, owed: Collection[tuple[str, RunKey]], log: Log) -> None:
        self._listener, self._owed, self._log = listener, owed, log

    def sees(self, connection_id: str, kind: Kind, run: RunView) -> Interest:
        if kind == "job" and getattr(run, "type", None) not in (None, JOB_TYPE):
            return Interest(wanted=False)
        return self._listener.sees(connection_id, kind, run)

    def ended(self, connection_id: str, kind: Kind, run: RunView) -> None:
        self._listener.ended(connection_id, kind, run)

    def overdue(self, connection_id: str, kind: Kind, run: RunView) -> None:
        self._listener.overdue(connection_id, kind, run)

    def given_up(self, connection_id: str, kind: Kind, run_id: str, why: Exception, created_at: float) -> None:
        is_owed = (connection_id, (kind, run_id)) in self._owed
        if connection_id == NOBODYS or (isinstance(why, NotFoundError) and not is_owed):
            self._log(
                "warning", f"an event told of {kind} {run_id}, which the API does not show: nothing is told of it"
            )
            return
        self._listener.given_up(connection_id, kind, run_id, why, created_at)


def _worth_a_read(look: Look) -> dict[str, list[RunKey]]:
    """Those that somebody heard of, and those that are due, of each connection in the order of creation."""
    worth: dict[str, list[RunKey]] = {}
    for connection_id in look.cursor.in_turn(look.cursor.places):
        opened = look.cursor.places[connection_id].open.items()
        keys = sorted((one.created_at, key) for key, one in opened if one.heard_at is not None or is_due(look, one))
        if keys and connection_id != NOBODYS:
            worth[connection_id] = [key for _, key in keys]
    return worth


def _find_connections(look: Look, known: Collection[str]) -> None:
    """Ask whose the runs are of which the hint did not say it. A read more; a delivery rarely leaves it out."""
    nobodys = look.cursor.places.get(NOBODYS)
    if nobodys is None:
        return
    for key, one in list(nobodys.open.items()):
        if look.is_over():
            return
        try:
            run: RunView = reader_of(look.client, key[0]).get(key[1])
            target = shown_target(run, key[0])
            if run.id != key[1] or target is None:
                raise NotFoundError(f"{key[0]} {key[1]} does not show its connection.", status_code=404)
        except NotFoundError as error:
            look.could_not(NOBODYS, nobodys, key, one, error)
        except PlanasonixError as error:
            look.call_failed(error, f"{key[0]} {key[1]} could not be read")
        else:
            look.errors_in_a_row = 0
            del nobodys.open[key]
            if target in known:
                hint = Hint(*key, target, one.heard_at or look.now())
                if not take_hint(look.cursor, hint, known, now=look.now()):
                    nobodys.open[key] = replace(one, tries=0, failing_since=None)


def _drop_false_hints(look: Look) -> None:
    for connection_id, place in look.cursor.places.items():
        for key, one in list(place.open.items()):
            is_alive = (connection_id, key) in look.alive
            if is_alive and one.heard_at is not None and look.now() - one.heard_at >= EARLY_SECONDS:
                one.heard_at = None
                if one.due_at is None:
                    del place.open[key]
                look.log("info", f"an event told that {key[0]} {key[1]} has ended, which goes on")


def _place(cursor: PollCursor, connection_id: str, now: float) -> Place:
    # Nothing is history: whoever delivers an event of last week, or asks for it again, wants it told.
    return cursor.places.setdefault(connection_id, Place(0.0, dict.fromkeys(KINDS, now)))
