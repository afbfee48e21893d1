"""What both stores do alike: one engine a process, transactions, and errors that tell no secret."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, create_engine
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from planasonix.errors import ConfigurationError
from planasonix.webhooks.inbox.address import Address
from planasonix.webhooks.inbox.migrations import STEPS, check_version, migrate
from planasonix.webhooks.inbox.records import InboxRefused, InboxUnavailable
from planasonix.webhooks.inbox.schema import Tables

_READ_ONLY = "25006"

# Engines of a process that forked, kept so that they are never closed here: their connections are the parent's.
_of_the_parent: list[Engine] = []


class Dialect(Protocol):
    """What a store brings of its own."""

    def options(self, address: Address) -> Mapping[str, Any]:
        """Arguments of `create_engine`."""
        ...

    def prepare(self, engine: Engine, address: Address) -> None:
        """Called once for each engine, before its first connection."""
        ...

    def begin(self, connection: Connection) -> None:
        """Begins a transaction that writes."""
        ...

    def lock_schema(self, connection: Connection) -> None:
        """In a transaction: nobody else migrates until it ends."""
        ...

    def now(self) -> ColumnElement[float]:
        """The database's clock: seconds since 1970, now and not when the transaction began."""
        ...

    def insert(self, table: Any) -> Any:
        """The dialect's INSERT, which has ON CONFLICT."""
        ...


class Store:
    """The connections of one process to one inbox."""

    def __init__(self, address: Address, dialect: Dialect) -> None:
        self.address, self.dialect = address, dialect
        self.tables = Tables(address.schema)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0
        self._migrated = False

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A transaction that writes; committed at the end, and durable then."""
        with self._told(), self._ready().connect() as connection:
            self.dialect.begin(connection)
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A connection to read from. Each statement sees what was committed before it."""
        with self._told(), self._ready().connect() as connection:
            yield connection

    def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose(close=self._pid == os.getpid())

    def _ready(self) -> Engine:
        if self._engine is not None and self._pid != os.getpid():
            _of_the_parent.append(self._engine)
            self._engine, self._lock = None, threading.Lock()  # a thread of the parent's may have held the old one
        with self._lock:
            if self._engine is None:
                engine = create_engine(self.address.url, hide_parameters=True, **self.dialect.options(self.address))
                self.dialect.prepare(engine, self.address)
                self._engine, self._pid, self._migrated = engine, os.getpid(), False
            if not self._migrated:
                self._migrate(self._engine)
                self._migrated = True
            return self._engine

    def _migrate(self, engine: Engine) -> None:
        with engine.connect() as connection:
            # Without the lock first: nearly always there is nothing to do, and not every user may create tables.
            if check_version(connection, self.tables, STEPS) == len(STEPS):
                return
        with engine.connect() as connection:
            self.dialect.begin(connection)
            self.dialect.lock_schema(connection)
            migrate(connection, self.tables, STEPS)
            connection.commit()

    @contextmanager
    def _told(self) -> Generator[None]:
        """Errors of the store as ours. Theirs quote statements, and their causes connection strings."""
        try:
            yield
        except (DataError, IntegrityError) as error:
            raise InboxRefused(f"The inbox ({self.address.label}) refuses a row: {_brief(error)}") from None
        except SQLAlchemyError as error:
            if isinstance(error, ProgrammingError) and "ermission denied" in str(error):
                raise ConfigurationError(
                    f"The user of the inbox ({self.address.label}) may not do this: {_brief(error)}",
                    field="inbox",
                    hint="Grant it its tables and, for the first start, CREATE on the schema.",
                ) from None
            # The tables may be gone with a database that somebody put anew: then they are made at the next call.
            self._migrated = False
            if getattr(getattr(error, "orig", None), "sqlstate", None) == _READ_ONLY and self._engine is not None:
                # After a failover the address leads to another server, and what is kept open still to the old one.
                self._engine.dispose()
            raise InboxUnavailable(f"The inbox ({self.address.label}) cannot be used: {_brief(error)}") from None


def _brief(error: SQLAlchemyError) -> str:
    """The driver's own first line, which names what is wrong and no value."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
