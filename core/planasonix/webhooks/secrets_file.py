"""Writes the file of signing secrets that a receiver reads: the newest first, one a line.

Two comments mean something, both with an instant in ISO 8601:

    # rotating-until: 2026-11-23T12:10:00Z     up to then an unmatched signature is answered 503, and sent again
    whsec_the_new_one
    # expires: 2026-11-24T12:00:00Z            the secret in the next line is not used after it
    whsec_the_old_one

A third one, `# webhook: wh_…`, says whose secret the next line is, so that a rotation ends no other subscription's.
Every change replaces the file in one step, so that no reader ever sees half of it, with mode 0600.
"""

from __future__ import annotations

import contextlib
import os
import secrets as random_secrets
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from planasonix.errors import ConfigurationError

SHORTEST_SECRET_BYTES = 16
_ROTATING, _EXPIRES, _WEBHOOK = "# rotating-until:", "# expires:", "# webhook:"
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
    webhook_id: str | None = None

    def may_be_of(self, webhook_id: str) -> bool:
        """Whether it is this subscription's. One that names none, written by hand, may be anybody's."""
        return self.webhook_id in (None, webhook_id)


@dataclass
class _Content:
    entries: list[_Entry]
    rotating_until: datetime | None = None


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
        return not self._read().entries

    def dated(self) -> tuple[tuple[tuple[str, datetime | None], ...], datetime | None]:
        """Each secret with the end of its time, the newest first, and until when a rotation is marked."""
        content = self._read()
        return tuple((one.secret, one.expires_at) for one in content.entries), content.rotating_until

    def add(self, secret: str) -> None:
        """Make this the newest secret; the others stay as they are."""
        checked_secret(secret)
        with self._alone():
            content = self._read()
            others = [one for one in content.entries if one.secret != secret]
            self._write(_Content([_Entry(secret), *others], content.rotating_until))

    def belongs_to(self, secret: str, webhook_id: str) -> None:
        """Note whose secret this is."""
        with self._alone():
            content = self._read()
            for one in content.entries:
                if one.secret == secret:
                    one.webhook_id = webhook_id
            self._write(content)

    def rotated(
        self,
        webhook_id: str,
        secret: str,
        *,
        new_id: str | None = None,
        overlap: timedelta,
        now: datetime | None = None,
    ) -> None:
        """Make this the newest secret of a subscription, and end the rotation that was marked.

        Its others stay valid for so long: deliveries that were signed with them may still be on their way. Those whose
        time is over are dropped.
        """
        checked_secret(secret)
        now = now or datetime.now(UTC)
        with self._alone():
            kept: list[_Entry] = []
            for one in self._read().entries:
                if one.may_be_of(webhook_id):
                    one.expires_at = min(one.expires_at or now + overlap, now + overlap)
                if one.secret != secret and (one.expires_at is None or one.expires_at > now):
                    kept.append(one)
            self._write(_Content([_Entry(secret, webhook_id=new_id or webhook_id), *kept]))

    def drop(self, secret: str) -> None:
        """Take a secret out that nothing was ever signed with; the others stay as they are."""
        with self._alone():
            content = self._read()
            content.entries = [one for one in content.entries if one.secret != secret]
            self._write(content)

    def mark_rotating(self, until: datetime | None) -> None:
        """From now on, up to then, receivers ask for unmatched deliveries again; None ends it."""
        with self._alone():
            self._write(_Content(self._read().entries, until))

    def _read(self) -> _Content:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return _Content([])
        except (OSError, UnicodeDecodeError) as error:
            raise self._trouble("read", error) from None
        content = _Content([])
        expires_at: datetime | None = None
        webhook_id: str | None = None
        for line in map(str.strip, text.splitlines()):
            if line.startswith(_EXPIRES):
                expires_at = _instant(line.removeprefix(_EXPIRES))
            elif line.startswith(_WEBHOOK):
                webhook_id = line.removeprefix(_WEBHOOK).strip() or None
            elif line and not line.startswith("#"):
                content.entries.append(_Entry(line, expires_at, webhook_id))
                expires_at = webhook_id = None
            elif line.startswith(_ROTATING):
                content.rotating_until = _instant(line.removeprefix(_ROTATING))
        return content

    def _write(self, content: _Content) -> None:
        lines = [_HEAD]
        if content.rotating_until is not None:
            lines.append(f"{_ROTATING} {_text(content.rotating_until)}")
        for one in content.entries:
            if one.webhook_id is not None:
                lines.append(f"{_WEBHOOK} {one.webhook_id}")
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
    def _alone(self) -> Generator[None]:
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
