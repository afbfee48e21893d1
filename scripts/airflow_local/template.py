"""A migrated metadata database, made once per environment and copied for every start."""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.airflow_local.errors import LocalAirflowError
from scripts.airflow_local.settings import base_environment


def copy_database(venv: Path, target: Path) -> None:
    """Put a migrated, empty SQLite metadata database at `target`.

    The first call in an environment runs the migrations (about a minute) and keeps the result inside the
    environment, under a name that changes with the installed Airflow packages.
    """
    shutil.copyfile(cached(venv, "db", lambda made: _make_sqlite(venv, made)), target)


def cached(venv: Path, suffix: str, make: Callable[[Path], None]) -> Path:
    """Return the template of that suffix; `make` writes it to the path it is given when there is none yet."""
    installed = sorted(path.name for path in venv.glob("lib/python3*/site-packages/apache_airflow*.dist-info"))
    key = hashlib.sha256("\n".join(installed).encode()).hexdigest()[:12]
    folder = venv / ".airflow-templates"
    folder.mkdir(exist_ok=True)
    template = folder / f"{key}.{suffix}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            draft = template.with_suffix(".draft")
            make(draft)
            os.replace(draft, template)
    return template


def migrate(venv: Path, home: Path, url: str | None = None) -> None:
    """Run Airflow's migrations: of `airflow.db` in its home, or of the database of that SQLAlchemy URL."""
    variables = base_environment(home)
    if url is not None:
        variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url
    result = subprocess.run(
        [str(venv / "bin" / "airflow"), "db", "migrate"],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if result.returncode:
        raise LocalAirflowError(f"airflow db migrate failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")


def _make_sqlite(venv: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="airflow-template-", dir=target.parent) as name:
        home = Path(name)
        migrate(venv, home)
        made = home / "airflow.db"
        connection = sqlite3.connect(made)
        # Stays in the file: readers and the writer of five processes do not lock one another out.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        os.replace(made, target)
