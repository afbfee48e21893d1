"""The inbox as everybody uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self

from planasonix.webhooks.inbox.address import address_of
from planasonix.webhooks.inbox.records import Added, Arrival, DeadLetter, Lease, Pruned, StoredEvent
from planasonix.webhooks.written import announce

if TYPE_CHECKING:
    from planasonix.webhooks.inbox.acts import Act
    from planasonix.webhooks.inbox.cursors import Retry
    from planasonix.webhooks.inbox.store.base import Dialect, Store

_READ_AT_ONCE = 500


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    """Events, each once, in one order, with a place for each consumer. Threads may share it, and processes its URL.

    Every call is synchronous and waits a bounded time for the store, then raises InboxUnavailable; the next call
    connects anew. After a fork the child gets connections of its own.

    >>> inbox = Inbox.open(f"sqlite:///{folder}/inbox.db")
    >>> event = Event.parse(b'{"id": "evt_1", "type": "job.succeeded", "job_id": "job_1"}')
    >>> [added.duplicate for added in inbox.add([Arrival.of(event), Arrival.of(event)])]
    [False, True]
    >>> [stored.event.job_id for stored in inbox.read(after=0)]
    ['job_1']
    >>> inbox.close()
    """

    def __init__(self, store: Store, url: str, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._clock = clock
        self.url = url
        """The URL as it was given, password and all: not for logs, see `label`."""

    @classmethod
    def open(cls, url: str, *, lazy: bool = False) -> Self:
        """Opens the inbox at a URL, and makes its tables or brings them up to date.

        `sqlite:////absolute/path.db` (a local disk; the folder must exist) or `postgresql://user:password@host/database`,
        with `?schema=name` to put the tables into another schema. `lazy`: connect at the first call instead, for a
        server that must start while the store is away.
        Raises ConfigurationError for a URL that is none, a missing package, a folder that does not exist, an inbox of
        a newer release; InboxUnavailable while the store cannot be reached.
        """
        address = address_of(url)
        from planasonix.webhooks.inbox.store.base import Store

        inbox = cls(Store(address, dialect_of(address.store)), url)
        if not lazy:
            inbox.last_seq()
        return inbox

    @property
    def label(self) -> str:
        """Where the inbox is, for logs: no user, no password."""
        return self._store.address.label

    @property
    def identity(self) -> str:
        """Made with the inbox: tells it from another one at the same URL, whose numbers begin anew."""
        from planasonix.webhooks.inbox import reading

        return reading.identity(self._store)

    def close(self) -> None:
        """Closes the connections. A later call would open new ones."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def add(self, arrivals: Sequence[Arrival]) -> list[Added]:
        """Stores what is new, in one transaction; when it returns, that is on the disk.

        An event is known by its id, and by what ended how: a delivery and the sweep's finding of the same end are
        one; an end of another kind for the same run is another event. One from before what `prune` has made forgotten
        counts as known. Returns what became of each arrival, in their order.
        Raises InboxUnavailable (nothing is stored then, or all of it: add them again), InboxRefused for a row that the
        store cannot take.
        """
        from planasonix.webhooks.inbox import arrivals as arriving

        added = arriving.add(self._store, arrivals, self._clock())
        announce(self.url)
        return added

    def read(self, after: int, limit: int = _READ_AT_ONCE) -> list[StoredEvent]:
        """Returns the events numbered above `after`, in order, at most `limit`.

        No event ever appears later below one that was already read.
        """
        from planasonix.webhooks.inbox import reading

        return reading.read(self._store, after, limit)

    def find(self, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Returns the events with these ids, without replays of them."""
        from planasonix.webhooks.inbox import reading

        return reading.find(self._store, event_ids)

    def last_seq(self) -> int:
        """The highest number given so far, 0 for none; retention does not lower it."""
        from planasonix.webhooks.inbox import reading

        return reading.last_seq(self._store)

    def subscribe(self, consumer: str, start: Literal["now", "beginning"] = "now") -> int:
        """Gives a new consumer its cursor, before the next event or before the first; a known one keeps its own.

        Returns the cursor.
        """
        from planasonix.webhooks.inbox import cursors

        return cursors.subscribe(self._store, consumer, start)

    def cursor(self, consumer: str) -> int:
        """The number of the event that the consumer is past; 0 for a consumer that nobody knows."""
        from planasonix.webhooks.inbox import cursors

        return cursors.cursor(self._store, consumer)

    def advance(self, consumer: str, seq: int, lease: Lease | None = None) -> None:
        """The consumer has done this event: its cursor moves there, never back, and the event is not tried again.

        Raises LeaseLost if another holder has taken the lease over.
        """
        from planasonix.webhooks.inbox import cursors

        cursors.advance(self._store, consumer, seq, lease)

    def begin(self, consumer: str, seq: int, again_in_seconds: float, lease: Lease | None = None) -> int:
        """Counts a try of an event before it is made, so that one that kills its process is counted too.

        Returns how many there were, this one included. Raises LeaseLost as `advance` does.
        """
        from planasonix.webhooks.inbox import cursors

        return cursors.begin(self._store, consumer, seq, again_in_seconds, lease)

    def not_tried(self, consumer: str, seq: int, lease: Lease | None = None) -> None:
        """Takes back what `begin` counted, for a try that could do nothing. Raises LeaseLost as `advance` does."""
        from planasonix.webhooks.inbox import cursors

        cursors.not_tried(self._store, consumer, seq, lease)

    def failed(
        self,
        consumer: str,
        seq: int,
        error: BaseException | str,
        *,
        attempts: int = 1,
        again_in_seconds: float | None = None,
        lease: Lease | None = None,
    ) -> None:
        """The consumer failed on this event: it is put off, or with `again_in_seconds` None a dead letter.

        Its cursor moves past the event either way, so that nothing waits behind it. Raises LeaseLost as `advance`
        does.
        """
        from planasonix.webhooks.inbox import cursors
        from planasonix.webhooks.inbox.times import to_us

        cursors.failed(
            self._store,
            consumer,
            seq,
            error,
            attempts=attempts,
            again_in_seconds=again_in_seconds,
            lease=lease,
            now_us=to_us(self._clock()),
        )

    def due(self, consumer: str, limit: int = _READ_AT_ONCE) -> list[Retry]:
        """What the consumer has put off until now."""
        from planasonix.webhooks.inbox import cursors

        return cursors.due(self._store, consumer, limit)

    def note(self, name: str) -> str | None:
        """A text that `write_note` has kept; None for none."""
        from planasonix.webhooks.inbox import notes

        return notes.note(self._store, name)

    def write_note(self, name: str, text: str, lease: Lease | None = None) -> None:
        """Keeps a small text, such as the place where a sweep was. Raises LeaseLost as `advance` does."""
        from planasonix.webhooks.inbox import notes

        notes.write_note(self._store, name, text, lease)

    def act(self, event_key: str, action: str, depth: int, chain: str) -> Act:
        """Claims an action because of an event; `is_new` is False if it was claimed before, and then it shows that."""
        from planasonix.webhooks.inbox import acts

        return acts.act(self._store, event_key, action, depth, chain)

    def act_started(self, event_key: str, action: str, kind: str, run_id: str) -> None:
        """Writes down which run a claimed action has started."""
        from planasonix.webhooks.inbox import acts

        acts.started(self._store, event_key, action, kind, run_id)

    def act_of_run(self, kind: str, run_id: str) -> Act | None:
        """The action that started this run, the deepest if there are more; None for a run that no event started."""
        from planasonix.webhooks.inbox import acts

        return acts.of_run(self._store, kind, run_id)

    def lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        """Becomes the only holder for so many seconds of the database's clock; None while somebody else is."""
        from planasonix.webhooks.inbox import leases

        return leases.acquire(self._store, name, holder, seconds)

    def renew(self, lease: Lease) -> bool:
        """Prolongs the lease to its full length from now; False if another holder came after this one."""
        from planasonix.webhooks.inbox import leases

        return leases.renew(self._store, lease)

    def release(self, lease: Lease) -> None:
        """Gives the lease back, so that the next holder need not wait; does nothing to one that is lost."""
        from planasonix.webhooks.inbox import leases

        leases.release(self._store, lease)

    def dead_letters(
        self, consumer: str | None = None, *, after: int = 0, limit: int = _READ_AT_ONCE
    ) -> list[DeadLetter]:
        """What a consumer gave up, oldest first, with ids above `after`.

        `consumer` None: what all have given up, and the deliveries that nobody could read.
        """
        from planasonix.webhooks.inbox import dead_letters

        return dead_letters.dead_letters(self._store, consumer, after, limit)

    def replay(self, seqs: Sequence[int], consumer: str | None = None) -> list[int]:
        """Puts events again before all consumers, or one; returns their new numbers.

        The same effect key as before: what a consumer has done it does not do twice. Raises ConfigurationError for a
        number that is not in the inbox.
        """
        from planasonix.webhooks.inbox import dead_letters

        numbers = dead_letters.replay(self._store, seqs, consumer, self._clock())
        announce(self.url)
        return numbers

    def replay_dead(self, ids: Sequence[int]) -> list[int]:
        """Puts dead letters again before the consumer that gave them up, and reads unreadable deliveries again.

        Returns the new numbers. What is still unreadable stays a dead letter. Raises ConfigurationError for an id
        that is none.
        """
        from planasonix.webhooks.inbox import dead_letters

        numbers = dead_letters.replay_dead(self._store, ids, self._clock())
        announce(self.url)
        return numbers

    def prune(self, older_than: timedelta = timedelta(days=30)) -> Pruned:
        """Removes what arrived more than `older_than` ago, read or not; returns how much, and who had not read it.

        What was seen is remembered longer, so that nothing that was removed can come in anew.
        """
        from planasonix.webhooks.inbox import retention

        return retention.prune(self._store, older_than, self._clock())


def dialect_of(store: Literal["sqlite", "postgresql"]) -> Dialect:
    """What the store brings of its own; only its driver is imported."""
    if store == "sqlite":
        from planasonix.webhooks.inbox.store.sqlite import SqliteDialect

        return SqliteDialect()
    from planasonix.webhooks.inbox.store.postgres import PostgresDialect

    return PostgresDialect()
