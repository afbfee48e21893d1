"""The part of a look that lists: new runs are noted in the cursor, and the marks move on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planasonix.errors import AuthenticationError, PagingError, PlanasonixError
from planasonix.runs.effects import RunView
from planasonix.runs.polled.cursor import LONGEST_CHUNK_SECONDS, OPEN_AT_MOST, OpenRun, Place, RunKey
from planasonix.runs.polled.lists import Listing, list_common, list_own
from planasonix.runs.polled.look import Look
from planasonix.watch import Kind
from planasonix.watch.protocols import ENDED_PHASES
from planasonix.watch.round import FEW

KINDS: tuple[Kind, ...] = ("job", "backfill")
_SHARE_OF_THE_TIME = 0.6
_LOOKS_AFTER_A_LONG_LIST = 20
_LAGS_BEHIND_SECONDS = 3600.0
_SHORTEST_CHUNK_SECONDS = 60.0


def list_all(
    look: Look, connection_ids: list[str], open_at_first: Mapping[str, Mapping[RunKey, OpenRun]] = MappingProxyType({})
) -> None:
    """List what is new of each connection, as far as the time goes. Raises where no list could be read."""
    now = _server_now(look)
    look.new_places = set(connection_ids) - set(look.cursor.places)
    places = {each: look.cursor.places.get(each) or _new_place(look, now) for each in connection_ids}
    for place in places.values():
        place.not_after(now)
    for connection_id in look.new_places:
        places[connection_id].open.update(open_at_first.get(connection_id, {}))
    look.cursor.places = places
    turns = look.cursor.in_turn(connection_ids)
    # Both lists of a connection before those of the next: a look that is cut leaves whole connections.
    alone: dict[str, list[Kind]] = {each: [] for each in turns}
    for kind in KINDS:
        together = _list_together(look, kind, now)
        for connection_id in turns:
            if connection_id not in together:
                alone[connection_id].append(kind)
    in_common = sum(map(len, alone.values())) < len(KINDS) * len(turns)
    listed_alone = _list_each(look, {each: kinds for each, kinds in alone.items() if kinds}, now)
    if look.polled.calls_failed and not in_common and not listed_alone:
        raise look.polled.calls_failed[-1]
    # Lists that fail speak of their connections. Whether the API is away, the reads of runs find out anew.
    look.errors_in_a_row = 0


def _list_each(look: Look, alone: dict[str, list[Kind]], now: float) -> bool:
    """List these by themselves; return whether one could be listed.

    Errors do not end this: those of some connections, gone for good, would hide all the others. Nor does the share of
    the time before one was listed: a look whose time went by before this would never come to any.
    """
    listed = False
    for number, (connection_id, kinds) in enumerate(alone.items()):
        no_time = number > 0 and (look.time_is_over() or (listed and look.time_is_over(_SHARE_OF_THE_TIME)))
        if no_time or look.is_refused:
            look.cursor.next_turn, look.lists_were_cut = connection_id, True
            look.polled.lists_left = len(alone) - number
            look.log("info", f"the lists of {look.polled.lists_left} connections are left to the next look")
            break
        for kind in kinds:
            listed = _list_alone(look, connection_id, kind, now) or listed
    return listed


def _server_now(look: Look) -> float:
    if look.client.clock_offset_seconds is None:
        look.client.jobs.list_page(limit=1)  # tells how far the API's clock is from ours
    return look.now() + (look.client.clock_offset_seconds or 0.0)


def _new_place(look: Look, now: float) -> Place:
    since = now - look.first_look_back_seconds
    return Place(began_at=now, marks={"job": since, "backfill": since})


def _list_together(look: Look, kind: Kind, now: float) -> frozenset[str]:
    """List in common those that were read about equally far; return which those were."""
    places, put_off = look.cursor.places, look.cursor.looks_without_common
    newest = max((place.marks[kind] for place in places.values()), default=0.0)
    near = {
        connection_id: place.marks[kind] - look.overlap_seconds
        for connection_id, place in places.items()
        if newest - place.marks[kind] <= _LAGS_BEHIND_SECONDS
    }
    if len(near) <= FEW or put_off.get(kind, 0) > 0:
        put_off[kind] = max(0, put_off.get(kind, 0) - 1)
        return frozenset()
    try:
        listings = list_common(look.client, kind, near, now=now, stop=lambda: look.time_is_over(_SHARE_OF_THE_TIME))
    except AuthenticationError:
        raise
    except PagingError:
        put_off[kind] = _LOOKS_AFTER_A_LONG_LIST
        return frozenset()
    except PlanasonixError as error:
        look.call_failed(error, f"no common list of {kind}s, one for each connection")
        return frozenset()
    if listings is None:
        return frozenset()
    look.errors_in_a_row = 0
    for connection_id, listing in listings.items():
        _note(look, connection_id, kind, listing)
    return frozenset(listings)


def _list_alone(look: Look, connection_id: str, kind: Kind, now: float) -> bool:
    place = look.cursor.places[connection_id]
    mark = place.marks[kind]
    since = mark - look.overlap_seconds
    try:
        listing = list_own(
            look.client,
            kind,
            connection_id,
            since,
            mark=mark,
            chunk_seconds=place.chunk_seconds,
            now=now,
            stop=look.time_is_over,
        )
    except AuthenticationError:
        raise
    except PagingError as error:
        look.call_failed(error, f"the {kind}s of connection {connection_id} are too many for one list")
        return kind == "job" and _takes_less(place, min(place.chunk_seconds, now - mark))
    except PlanasonixError as error:
        look.call_failed(error, f"the {kind}s of connection {connection_id} could not be listed")
        return False
    look.errors_in_a_row = 0
    if kind == "job":
        place.chunk_seconds = min(LONGEST_CHUNK_SECONDS, 2 * place.chunk_seconds)
    _note(look, connection_id, kind, listing)
    return True


def _takes_less(place: Place, asked_seconds: float) -> bool:
    """The next look asks for half as much time; False where that would not help."""
    if asked_seconds < 2 * _SHORTEST_CHUNK_SECONDS:
        return False
    place.chunk_seconds = asked_seconds / 2
    return True


def _note(look: Look, connection_id: str, kind: Kind, listing: Listing) -> None:
    place = look.cursor.places[connection_id]
    up_to = max(place.marks[kind], listing.up_to)
    for row in sorted(listing.rows, key=_created_at):
        key: RunKey = (kind, row.id)
        look.rows[connection_id, key] = row
        if key in place.seen or place.is_forgotten(key, _created_at(row)):
            continue
        if key not in place.open:
            created_at = _created_at(row) or listing.up_to
            if len(place.open) >= OPEN_AT_MOST:
                look.log("warning", f"connection {connection_id} has over {OPEN_AT_MOST} runs to tell: more later")
                # Those that were left out are within the overlap, or after the mark.
                up_to = max(place.marks[kind], min(up_to, _created_at(row)))
                break
            place.open[key] = OpenRun(created_at, sure=False)
        one = place.open[key]
        if not one.sure:
            interest = look.ask(connection_id, place, key, one, row)
            if interest is None or not one.sure or interest.even_if_old:
                continue
            if connection_id in look.new_places and _is_history(look, place, one, row):
                place.deal_with(key, one.created_at)
    place.marks[kind] = up_to


def _is_history(look: Look, place: Place, one: OpenRun, row: RunView) -> bool:
    """Whether the first list of a connection alone tells it. What was created shortly before, or is listed later for
    the first time, may have ended since the first look: a read decides.
    """
    return row.phase in ENDED_PHASES and one.created_at < place.began_at - look.overlap_seconds


def _created_at(run: RunView) -> float:
    return 0.0 if run.created_at is None else run.created_at.timestamp()
