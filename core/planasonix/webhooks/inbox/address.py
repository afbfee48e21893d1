"""Where an inbox is: the URLs that people have at hand, and the driver behind each. The password is never shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL

_FORMS = "sqlite:////absolute/path/inbox.db or postgresql://user:password@host/database"
# Airflow and Prefect settings hold the same database under the names of other drivers.
_SQLITE = {"sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"}
_POSTGRES = {
    "postgres",
    "postgresql",
    "postgresql+psycopg",
    "postgresql+psycopg2",
    "postgresql+psycopg_async",
    "postgresql+asyncpg",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where an inbox is. `label` names it in logs and errors, without user and password."""

    store: Literal["sqlite", "postgresql"]
    label: str
    url: URL = field(repr=False)
    schema: str | None = None

    @property
    def path(self) -> Path | None:
        """The file of a SQLite inbox."""
        return Path(str(self.url.database)) if self.store == "sqlite" else None


def address_of(url: str) -> Address:
    """Reads the URL of an inbox.

    `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`, `postgres://…`, with whatever driver the URL
    names. `?schema=name` puts the tables of a PostgreSQL inbox there, else they are where the user's search path says.
    Raises ConfigurationError for anything else, and where a package is missing.
    """
    if find_spec("sqlalchemy") is None:
        raise ConfigurationError(
            "The inbox needs SQLAlchemy.", field="inbox", hint="Install it: pip install 'planasonix[webhooks]'."
        )
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError, TypeError, AttributeError):
        # SQLAlchemy's own message quotes the text, password and all.
        raise ConfigurationError("inbox is no database URL.", field="inbox", hint=f"Write {_FORMS}.") from None
    if parsed.drivername in _SQLITE:
        return _sqlite(parsed)
    if parsed.drivername in _POSTGRES:
        return _postgresql(parsed)
    raise ConfigurationError(
        f"inbox is a {parsed.drivername!r} URL, and the inbox lives in SQLite or PostgreSQL.",
        field="inbox",
        hint=f"Write {_FORMS}.",
    )


def _sqlite(url: URL) -> Address:
    if url.host:
        raise ConfigurationError(
            "inbox names a host, and a SQLite inbox is a file of this machine.",
            field="inbox",
            hint=f"Write {_FORMS}, with three or four slashes.",
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            "inbox names no file: what is only in memory is lost with the process.",
            field="inbox",
            hint=f"Write {_FORMS}.",
        )
    path = Path(url.database).expanduser().absolute()
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"The folder of the inbox does not exist: {path.parent}.", field="inbox", hint="Make it, or name another."
        )
    if path.is_dir():
        raise ConfigurationError(f"inbox is a folder: {path}.", field="inbox", hint="Name a file in it.")
    return Address("sqlite", f"SQLite file {path}", url.set(drivername="sqlite+pysqlite", database=str(path), query={}))


def _postgresql(url: URL) -> Address:
    if find_spec("psycopg") is None:
        raise ConfigurationError(
            "An inbox in PostgreSQL needs psycopg 3.",
            field="inbox",
            hint="Install it: pip install 'planasonix[webhooks,postgres]'.",
        )
    schema = url.query.get("schema")
    if schema is not None and not isinstance(schema, str):
        raise ConfigurationError("inbox names more than one schema.", field="inbox", hint="Name one.")
    url = url.difference_update_query(["schema"]).set(drivername="postgresql+psycopg")
    place = f"{url.host or 'local socket'}{f':{url.port}' if url.port else ''}/{url.database or ''}"
    return Address("postgresql", f"PostgreSQL {place}", url, schema)
