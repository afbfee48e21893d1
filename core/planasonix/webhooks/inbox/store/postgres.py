"""The inbox in PostgreSQL, for the processes of several machines, through psycopg 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Engine, literal_column, text
from sqlalchemy.dialects.postgresql import insert

from planasonix.webhooks.inbox.address import Address

_CONNECT_SECONDS = 5
# A server that vanished without a word is noticed within so long, and not after a quarter of an hour.
_GONE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
_LOCK_MILLISECONDS = 5_000
_STATEMENT_MILLISECONDS = 15_000
# Any number will do that no other program uses for a lock of its own: "planasox" in ASCII.
_SCHEMA_LOCK = 0x706C616E61736F78

# Local to the transaction, not sent at connect: a pooler in front of the database refuses such options. A database
# whose default is to commit without waiting for the disk would lose events that their sender was told we have.
_SETTINGS = text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true), "
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
).bindparams(lock=str(_LOCK_MILLISECONDS), statement=str(_STATEMENT_MILLISECONDS))


class PostgresDialect:
    def options(self, address: Address) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {"prepare_threshold": None}  # a pooler gives each transaction another session
        given = {"connect_timeout": _CONNECT_SECONDS, **_GONE}
        arguments.update({name: value for name, value in given.items() if name not in address.url.query})
        return {
            "connect_args": arguments,
            # Each statement must see what was committed while it waited for the lock.
            "isolation_level": "READ COMMITTED",
            # A connection that the server has closed is noticed before use, not by the event that it would lose.
            "pool_pre_ping": True,
            "pool_size": 2,
            "max_overflow": 6,
            "pool_timeout": _CONNECT_SECONDS,
        }

    def prepare(self, engine: Engine, address: Address) -> None:
        pass

    def begin(self, connection: Connection) -> None:
        connection.execute(_SETTINGS)

    def lock_schema(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})

    def now(self) -> ColumnElement[float]:
        # now() would be the begin of the transaction, which may have waited for a lock since.
        return literal_column("extract(epoch from clock_timestamp())::float8", Double)

    def insert(self, table: Any) -> Any:
        return insert(table)
