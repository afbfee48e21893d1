"""Where a secret stands in the files of a Prefect home."""

import base64
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

# Results are pickled by default, and the pickle is kept as Base64 in JSON.
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}(?:\\n[A-Za-z0-9+/=]+)*={0,2}")
# Prefect encrypts the secrets of saved blocks with a key that lies beside them: nothing to decode here.


def files_with(home: Path, text: str) -> list[Path]:
    """Return every file under a folder that holds a text: plainly, or in Base64, as pickled results are."""
    needle = text.encode()
    return [path for path in sorted(home.rglob("*")) if any(needle in one for one in _contents(path))]


def _contents(path: Path) -> Iterator[bytes]:
    """Files come and go meanwhile, and sockets cannot be read: those have no contents."""
    try:
        if not path.is_file():
            return
        read = path.read_bytes()
    except OSError:
        return
    yield read
    if read.startswith(b"SQLite format 3"):
        yield _rows(path)
        return
    for found in _BASE64.finditer(read):
        packed = found.group().replace(b"\\n", b"")
        yield base64.b64decode(packed[: len(packed) // 4 * 4])


def _rows(path: Path) -> bytes:
    """All texts of a database: a long one lies in several pages, and the newest in the log beside it."""
    rows: list[str] = []
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as database:
            names = database.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (name,) in names:
                rows += [str(row) for row in database.execute(f'select * from "{name}"')]
    except sqlite3.DatabaseError:
        return b""
    return "\n".join(rows).encode(errors="replace")
