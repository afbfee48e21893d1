"""The tables of an inbox, the same on SQLite and PostgreSQL.

Times are microseconds since 1970 in UTC: one form that both stores keep exactly and compare alike. The names begin
with `planasonix_inbox_`, so that an inbox can live in a database that others use too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

PREFIX = "planasonix_inbox_"


class Tables:
    """The tables of one inbox; `schema` is PostgreSQL's, None for the search path."""

    def __init__(self, schema: str | None = None) -> None:
        self.metadata = MetaData(schema=schema)
        big = BigInteger().with_variant(Integer(), "sqlite")

        # One row. `version` is the schema's, `identity` tells an inbox from its successor under the same URL, and
        # `last_seq` is the number that was given last: it stays when retention removes the rows. Of events before
        # `forgotten_us` the keys may be gone.
        self.meta = Table(
            f"{PREFIX}meta",
            self.metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("version", Integer, nullable=False),
            Column("identity", String(32), nullable=False),
            Column("last_seq", BigInteger, nullable=False),
            Column("forgotten_us", BigInteger, nullable=False),
        )
        self.events = Table(
            f"{PREFIX}events",
            self.metadata,
            Column("seq", big, primary_key=True, autoincrement=False),
            Column("event_id", Text, nullable=False),
            Column("type", Text, nullable=False),
            Column("kind", String(16)),
            Column("object_id", Text),
            Column("connection_id", Text),
            Column("status", String(16)),
            Column("occurred_us", BigInteger),
            Column("received_us", BigInteger, nullable=False),
            Column("source", String(16), nullable=False),
            Column("replay_of", BigInteger),
            Column("only_for", Text),
            # ASCII with JSON's own escapes: PostgreSQL's jsonb takes no NUL and no half of a character.
            Column("payload", Text, nullable=False),
        )
        Index(f"{PREFIX}events_received", self.events.c.received_us)
        Index(f"{PREFIX}events_event_id", self.events.c.event_id)

        # What was seen, by hash. Outlives the events, else a pruned event could be delivered anew. `expires_us` None:
        # kept for good, for an event whose age nobody can tell.
        self.keys = Table(
            f"{PREFIX}keys",
            self.metadata,
            Column("key", LargeBinary(16), primary_key=True),
            Column("seq", BigInteger),
            Column("expires_us", BigInteger),
            sqlite_with_rowid=False,
        )
        Index(f"{PREFIX}keys_expires", self.keys.c.expires_us)

        self.consumers = Table(
            f"{PREFIX}consumers",
            self.metadata,
            Column("consumer", String(200), primary_key=True),
            Column("seq", BigInteger, nullable=False),
        )
        # Events that a consumer failed on and will try again, so that the ones behind them need not wait.
        self.retries = Table(
            f"{PREFIX}retries",
            self.metadata,
            Column("consumer", String(200), primary_key=True),
            Column("seq", BigInteger, primary_key=True, autoincrement=False),
            Column("attempts", Integer, nullable=False),
            Column("due", Double, nullable=False),  # seconds since 1970, by the database's clock
            Column("error", Text, nullable=False),
        )
        self.dead = Table(
            f"{PREFIX}dead_letters",
            self.metadata,
            Column("id", big, primary_key=True, autoincrement=True),
            Column("consumer", String(200)),
            Column("seq", BigInteger),
            Column("error", Text, nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("at_us", BigInteger, nullable=False),
            Column("body", LargeBinary),
        )
        self.leases = Table(
            f"{PREFIX}leases",
            self.metadata,
            Column("name", String(200), primary_key=True),
            Column("holder", Text, nullable=False),
            Column("token", BigInteger, nullable=False),
            Column("expires", Double, nullable=False),  # seconds since 1970, by the database's clock
        )
        # A small text of a consumer's own, such as the place where the sweep was.
        self.notes = Table(
            f"{PREFIX}notes",
            self.metadata,
            Column("name", String(200), primary_key=True),
            Column("text", Text, nullable=False),
        )
        # What was done because of which event.
        self.acts = Table(
            f"{PREFIX}acts",
            self.metadata,
            Column("event_key", String(200), primary_key=True),
            Column("action", String(200), primary_key=True),
            Column("depth", Integer, nullable=False),
            Column("chain", Text, nullable=False),
            Column("kind", String(16)),
            Column("run_id", String(200)),
        )
        Index(f"{PREFIX}acts_run", self.acts.c.kind, self.acts.c.run_id)
