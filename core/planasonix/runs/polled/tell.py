"""The part of a look that reads: runs that may have ended, those of all connections in turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from planasonix.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    PlanasonixError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planasonix.models.status import is_known_status
from planasonix.runs.effects import RunView
from planasonix.runs.polled.cursor import OpenRun, RunKey
from planasonix.runs.polled.find import KINDS
from planasonix.runs.polled.listener import NoRoomError
from planasonix.runs.polled.lists import still_active
from planasonix.runs.polled.look import Look
from planasonix.runs.target import shown_target
from planasonix.watch import Kind
from planasonix.watch.protocols import ENDED_PHASES, reader_of
from planasonix.watch.round import FEW

_AWAY = (AuthenticationError, PermissionDeniedError, TransportError, ServerError, RateLimitError)
"""What may say nothing of the run that was asked for: no try of its own is used up, unless others fare better."""
_OF_ONE_RUN = (PermissionDeniedError, ServerError)
_AWAY_AT_MOST_SECONDS = 86_400.0
"""A run that fails alone for so long uses up its tries though no others are there to compare with."""


@dataclass(frozen=True)
class _Away:
    """A run for which the API did not answer; `was_read`: what its listener asked for, then."""

    connection_id: str
    key: RunKey
    error: PlanasonixError
    was_read: bool


def tell_all(look: Look) -> None:
    """Read what may have ended, and tell it, as far as the time goes."""
    tell_these(look, _worth_a_read(look))


def tell_these(look: Look, worth: dict[str, list[RunKey]]) -> None:
    """The same for these open runs of each connection, whose order is kept."""
    # Those that failed before come last: some that fail for good would end each look before the others.
    waiting = sorted(_in_turns(worth), key=lambda one: _has_failed(look, *one))
    away: list[_Away] = []
    _tell_in_turn(look, waiting, away)
    for one in away:
        _settle(look, one)


def _tell_in_turn(look: Look, waiting: list[tuple[str, RunKey]], away: list[_Away]) -> None:
    for number, (connection_id, key) in enumerate(waiting):
        # One at least, however long the lists took.
        is_over = look.is_over() and (number > 0 or not look.time_is_over())
        if is_over or not _took(look, connection_id, key, away):
            look.polled.left = len(waiting) - number
            if not look.lists_were_cut:
                look.cursor.next_turn = connection_id
            look.log("info", f"{look.polled.left} runs are left to the next look")
            return
    if not look.lists_were_cut:
        look.cursor.next_turn = None


def _worth_a_read(look: Look) -> dict[str, list[RunKey]]:
    """The open runs that may have ended, and those that are due, of each connection in the order of creation."""
    unlisted: dict[Kind, list[tuple[str, RunKey]]] = {kind: [] for kind in KINDS}
    worth: set[tuple[str, RunKey]] = set()
    for connection_id, place in look.cursor.places.items():
        for key, one in place.open.items():
            row = look.rows.get((connection_id, key))
            if is_due(look, one):
                worth.add((connection_id, key))
            elif row is None:
                unlisted[key[0]].append((connection_id, key))
            elif row.phase in ENDED_PHASES or not is_known_status(row.status):
                worth.add((connection_id, key))
    for kind, runs in unlisted.items():
        active = _active(look, kind, runs)
        worth |= {(connection_id, key) for connection_id, key in runs if key[1] not in active}
    found: dict[str, list[RunKey]] = {}
    for connection_id in look.cursor.in_turn(look.cursor.places):
        opened = look.cursor.places[connection_id].open
        keys = sorted((opened[key].created_at, key) for key in opened if (connection_id, key) in worth)
        if keys:
            found[connection_id] = [key for _, key in keys]
    return found


def _active(look: Look, kind: Kind, runs: list[tuple[str, RunKey]]) -> frozenset[str]:
    """Those that no list of this look showed, and that lists of active runs show: few are read each instead."""
    if len(runs) <= FEW:
        return frozenset()
    oldest = min(look.cursor.places[connection_id].open[key].created_at for connection_id, key in runs)
    try:
        return still_active(
            look.client, kind, [key[1] for _, key in runs], oldest - look.overlap_seconds, look.time_is_over
        )
    except PlanasonixError as error:
        look.call_failed(error, f"active {kind}s could not be listed")
        return frozenset()


def _in_turns(worth: dict[str, list[RunKey]]) -> list[tuple[str, RunKey]]:
    """One run of each connection, then a second one of each, and so on."""
    rounds: Iterator[tuple[RunKey | None, ...]] = zip_longest(*worth.values())
    return [
        (connection_id, key)
        for one_of_each in rounds
        for connection_id, key in zip(worth, one_of_each, strict=True)
        if key is not None
    ]


def _has_failed(look: Look, connection_id: str, key: RunKey) -> bool:
    return look.cursor.places[connection_id].open[key].failing_since is not None


def _settle(look: Look, away: _Away) -> None:
    """Whether it was the API or the run, after all runs were tried: that others fared better shows it."""
    place = look.cursor.places[away.connection_id]
    one = place.open[away.key]
    one.failing_since = look.now() if one.failing_since is None else one.failing_since
    others_fared_better = look.polled.told > 0 if away.was_read else bool(look.read)
    for_long = look.now() - one.failing_since >= _AWAY_AT_MOST_SECONDS
    if isinstance(away.error, _OF_ONE_RUN) and (others_fared_better or for_long):
        look.could_not(away.connection_id, place, away.key, one, away.error)
    else:
        look.polled.failed += 1


def _took(look: Look, connection_id: str, key: RunKey, away: list[_Away]) -> bool:
    """Tell one run, well or not; False where the listener takes no more in this look."""
    try:
        _tell(look, connection_id, key, away)
    except NoRoomError:
        return False
    return True


def _tell(look: Look, connection_id: str, key: RunKey, away: list[_Away]) -> None:
    kind, run_id = key
    place = look.cursor.places[connection_id]
    one = place.open[key]
    try:
        run: RunView = reader_of(look.client, kind).get(run_id)
        look.errors_in_a_row = 0
        look.read.add((connection_id, key))
        if run.id != run_id or shown_target(run, kind) not in (None, connection_id):
            raise NotFoundError(f"{kind} {run_id} is shown as another one's.", status_code=404)
        if run.phase not in ENDED_PHASES:
            look.alive.add((connection_id, key))
            if is_due(look, one):
                _say_overdue(look, connection_id, key, one, run)
            else:
                one.tries, one.failing_since = 0, None
            return
        interest = look.ask(connection_id, place, key, one, run)
        if interest is None or not one.sure or key not in place.open:
            return
        if _ended_before(run, place.began_at) and not interest.even_if_old:
            place.deal_with(key, one.created_at)
            return
        look.listener.ended(connection_id, kind, run)
    except NoRoomError:
        raise
    except _AWAY as error:
        away.append(_Away(connection_id, key, error, was_read=(connection_id, key) in look.read))
        look.call_failed(error, f"{kind} {run_id} of connection {connection_id} could not be read")
    except Exception as error:
        look.could_not(connection_id, place, key, one, error)
    else:
        place.deal_with(key, one.created_at)
        look.polled.told += 1


def _say_overdue(look: Look, connection_id: str, key: RunKey, one: OpenRun, run: RunView) -> None:
    try:
        look.listener.overdue(connection_id, key[0], run)
    except _AWAY:
        raise
    except Exception as error:
        look.could_not_say_overdue(connection_id, key, one, error)
    else:
        one.due_at, one.tries, one.failing_since = None, 0, None


def is_due(look: Look, one: OpenRun) -> bool:
    """Whether its owner is to be asked about it though it goes on."""
    return one.due_at is not None and one.due_at <= look.now()


def _ended_before(run: RunView, moment: float) -> bool:
    # A backfill shows no time of its end; it is updated last when it ends. Stamps may have whole seconds.
    ended_at = getattr(run, "finished_at", None) or getattr(run, "updated_at", None)
    return isinstance(ended_at, datetime) and ended_at.timestamp() < int(moment)
