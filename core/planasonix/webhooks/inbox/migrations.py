"""How an inbox gets its tables, and an older one the newer form of them: numbered steps, each made once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, insert, inspect, select, update

from planasonix.errors import ConfigurationError
from planasonix.webhooks.inbox.schema import Tables

Step = Callable[[Connection, Tables], None]


def _first_tables(connection: Connection, tables: Tables) -> None:
    tables.metadata.create_all(connection)


# A published step is never changed: a later form of a table is a step of its own, and from then on the first one
# spells out the tables as they were.
STEPS: tuple[Step, ...] = (_first_tables,)


def version_of(connection: Connection, tables: Tables) -> int:
    """The version of the inbox's tables; 0 where there are none."""
    if not inspect(connection).has_table(tables.meta.name, schema=tables.meta.schema):
        return 0
    return connection.execute(select(tables.meta.c.version)).scalar() or 0


def migrate(connection: Connection, tables: Tables, steps: Sequence[Step]) -> None:
    """Brings the tables to the newest version, in the caller's transaction, which holds the migration lock.

    Raises ConfigurationError for an inbox that a newer release has made.
    """
    found = check_version(connection, tables, steps)
    for number, step in enumerate(steps[found:], start=found + 1):
        step(connection, tables)
        if number == 1:
            connection.execute(
                insert(tables.meta).values(id=1, version=1, identity=secrets.token_hex(16), last_seq=0, forgotten_us=0)
            )
        else:
            connection.execute(update(tables.meta).values(version=number))


def check_version(connection: Connection, tables: Tables, steps: Sequence[Step]) -> int:
    """Returns the version; raises ConfigurationError for one that this release does not know."""
    found = version_of(connection, tables)
    if found > len(steps):
        raise ConfigurationError(
            f"The inbox has version {found}, and this release of planasonix knows {len(steps)}.",
            field="inbox",
            hint="Upgrade planasonix here too, or give this release an inbox of its own.",
        )
    return found
