"""Writes the file of signing secrets that a receiver reads: the newest first, one a line.

Two comments mean something, both with an instant in ISO 8601:

    # rotating-until: 2026-11-23T12:10:00Z     up to then an unmatched signature is answered 503, and sent again
    whsec_the_new_one
    # expires: 2026-11-24T12:00:00Z            the secret in the next line is not used after it
    whsec_the_old_one

Every change replaces the file in one step, so that no reader ever sees half of it, with mode 0600.
"""

from __future__ import annotations

import contextlib
import os
import secrets as random_secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from planasonix.errors import ConfigurationError

SHORTEST_SECRET_BYTES = 16
_ROTATING, _EXPIRES = "# rotating-until:", "# expires:"
_HEAD = "# Signing secrets of Planasonix webhooks, the newest first. Written by `planasonix webhooks`."


def new_secret() -> str:
    """A signing secret of 256 random bits, in the spelling of the API's own."""
    return "whsec_" + random_secrets.token_urlsafe(32)


def checked_secret(secret: str) -> str:
    """The secret, if it may be one. Raises `ConfigurationError`, which does not show it."""
    if not secret.isprintable() or secret != secret.strip() or secret.startswith("#") or "," in secret:
        raise ConfigurationError(
            "secret must be one line of printable text without blanks at its ends, a comma, or a leading #.",
            field="secret",
        )
    if len(secret.encode()) < SHORTEST_SECRET_BYTES:
        raise ConfigurationError(
            f"secret must have {SHORTEST_SECRET_BYTES} bytes or more: a short one can be guessed.",
            field="secret",
            hint="Make one with: python -c 'import secrets; print(\"whsec_\" + secrets.token_urlsafe(32))'",
        )
    return secret


@dataclass
class _Entry:
    secret: str = field(repr=False)
    expires_at: datetime | None = None


class SecretsFile:
    """The file at `path`, which need not exist yet; its folder must.

    Raises `ConfigurationError` (field `secrets_file`) where it cannot be read or written.
    """

    def __init__(self, path: str | Path) -> None:
        # What a symbolic link names is replaced, not the link.
        self._path = Path(path).expanduser().resolve()

    def __repr__(self) -> str:
        return f"<SecretsFile {self._path}>"

    def is_empty(self) -> bool:
        """Whether it holds no secret."""
        return not self._read()

    def add(self, secret: str, *, keep_others: timedelta, now: datetime | None = None) -> None:
        """Make this the newest secret, and end the rotation that was marked. The others stay valid for so long:
        deliveries that were signed with them may still be on their way. Those whose time is over are dropped.
        """
        checked_secret(secret)
        now = now or datetime.now(UTC)
        with self._alone():
            kept: list[_Entry] = []
            for one in self._read():
                ends = now + keep_others if one.expires_at is None else min(one.expires_at, now + keep_others)
                if one.secret != secret and ends > now:
                    kept.append(_Entry(one.secret, ends))
            self._write([_Entry(secret), *kept])

    def drop(self, secret: str) -> None:
        """Take a secret out that nothing was ever signed with; the others stay as they are, the newest without end."""
        with self._alone():
            kept = [one for one in self._read() if one.secret != secret]
            if kept:
                kept[0].expires_at = None
            self._write(kept)

    def mark_rotating(self, until: datetime | None) -> None:
        """From now on, up to then, receivers ask for unmatched deliveries again; None ends it."""
        with self._alone():
            self._write(self._read(), until)

    def _read(self) -> list[_Entry]:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise self._trouble("read", error) from None
        entries: list[_Entry] = []
        expires_at: datetime | None = None
        for line in map(str.strip, text.splitlines()):
            if line.startswith(_EXPIRES):
                expires_at = _instant(line.removeprefix(_EXPIRES))
            elif line and not line.startswith("#"):
                entries.append(_Entry(line, expires_at))
                expires_at = None
        return entries

    def _write(self, entries: list[_Entry], rotating_until: datetime | None = None) -> None:
        lines = [_HEAD]
        if rotating_until is not None:
            lines.append(f"{_ROTATING} {_text(rotating_until)}")
        for one in entries:
            if one.expires_at is not None:
                lines.append(f"{_EXPIRES} {_text(one.expires_at)}")
            lines.append(one.secret)
        temporary: str | None = None
        try:
            # Made with mode 0600, in the same folder: only there can it be renamed in one step.
            number, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            _keep_owner(self._path, temporary)
            os.replace(temporary, self._path)
            temporary = None
            _sync_folder(self._path.parent)
        except OSError as error:
            raise self._trouble("written", error) from None
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two who change it at once one would lose the other's secret, and all that is signed with it."""
        try:
            import fcntl
        except ImportError:  # no such lock on this system
            yield
            return
        try:
            number = os.open(self._path.parent, os.O_RDONLY)
        except OSError as error:
            raise self._trouble("written", error) from None
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _trouble(self, what: str, error: Exception) -> ConfigurationError:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        return ConfigurationError(
            f"The file of signing secrets {self._path} cannot be {what}: {why}.",
            field="secrets_file",
            hint="Name a file in a folder that exists and that this user may write to.",
        )


def _keep_owner(path: Path, temporary: str) -> None:
    """A receiver under another user must be able to read what root has rotated."""
    with contextlib.suppress(OSError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, before.st_uid, before.st_gid)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
