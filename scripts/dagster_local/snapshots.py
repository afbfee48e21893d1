"""The snapshots of jobs and execution plans in Dagster's databases, which a search of the files' bytes does not see."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path


def snapshots_in(path: Path) -> Iterator[bytes]:
    """The snapshots of a SQLite database of Dagster's, each as it was before it was compressed; none of another file.

    The config of a job's resources stands in them, literal values too. Raises `sqlite3.Error` for a database that
    cannot be read.
    """
    if path.suffix != ".db":
        return
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "snapshots" in names:
            for (body,) in database.execute("SELECT snapshot_body FROM snapshots"):
                yield zlib.decompress(body)
