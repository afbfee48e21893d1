"""The signing secrets that a receiver verifies with: a list, a setting, or a file that is read again as it changes."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from planasonix.errors import ConfigurationError
from planasonix.webhooks.body_forms import keys_of
from planasonix.webhooks.secrets_file import SecretsFile, checked_secret

log = logging.getLogger(__name__)

ENVIRONMENT = "PLANASONIX_WEBHOOK_SECRETS"
_NOTHING = object()


@dataclass(frozen=True)
class Key:
    """One secret, ready for use: its bytes as shown, and all that it may mean where only a body is signed."""

    text: bytes = field(repr=False)
    forms: tuple[tuple[str, bytes], ...] = field(repr=False)
    expires_at: datetime | None = None


class SigningSecrets:
    """Several secrets, the newest first; a delivery may be signed with any of them.

    `rotating_until` (aware) is the end of a rotation: up to then a receiver asks for unmatched deliveries again.
    Raises `ConfigurationError` where there is none, or one is shorter than 16 bytes. The repr shows
    no secret.

    >>> SigningSecrets(["whsec_0123456789abcdef"])
    <SigningSecrets 1>
    """

    def __init__(self, secrets: str | Iterable[str], *, rotating_until: datetime | None = None) -> None:
        if rotating_until is not None and rotating_until.tzinfo is None:
            raise ConfigurationError("rotating_until must have a time zone.", field="rotating_until")
        each = [secrets] if isinstance(secrets, str) else list(secrets)
        self._file: SecretsFile | None = None
        self._path: Path | None = None
        self._seen: object = None
        self._warned: object = _NOTHING
        self._rotating_until = rotating_until
        self._keys = _keys((one, None) for one in each)
        if not self._keys:
            raise _none()

    @classmethod
    def from_environment(cls) -> SigningSecrets:
        """The secrets in PLANASONIX_WEBHOOK_SECRETS, separated by commas."""
        return cls(one.strip() for one in os.environ.get(ENVIRONMENT, "").split(",") if one.strip())

    @classmethod
    def from_file(cls, path: str | Path) -> SigningSecrets:
        """The secrets in a file, one a line, the newest first; read again whenever the file changes.

        What cannot be read later, or holds no secret or a weak one then, leaves those in force that were, with one
        warning each, and is tried again at each use.
        """
        source = cls.__new__(cls)
        source._path, source._file = Path(path).expanduser(), SecretsFile(path)
        source._warned = _NOTHING
        source._seen = _stamp(source._path)
        source._read(source._file)
        _warn_of_others(source._path)
        if not source._keys and not source.is_rotating():
            raise _none(str(path))
        return source

    def __repr__(self) -> str:
        return f"<SigningSecrets {len(self._keys)}>"

    def __reduce__(self) -> str:
        raise TypeError("signing secrets are not pickled")

    def keys(self, now: datetime | None = None) -> tuple[Key, ...]:
        """Those in force now, the newest first."""
        self._read_again()
        now = now or datetime.now(UTC)
        return tuple(key for key in self._keys if key.expires_at is None or now < key.expires_at)

    def is_rotating(self, now: datetime | None = None) -> bool:
        """Whether an unmatched signature may be one of a secret that is about to be known."""
        return self._rotating_until is not None and (now or datetime.now(UTC)) < self._rotating_until

    def _read(self, file: SecretsFile) -> None:
        dated, self._rotating_until = file.dated()
        self._keys = _keys(dated)

    def _read_again(self) -> None:
        if self._file is None or self._path is None:
            return
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        before = self._keys, self._rotating_until
        try:
            if stamp is None:
                raise ConfigurationError("The file of signing secrets is gone.", field="secrets_file")
            self._read(self._file)
            if not self._keys and not self.is_rotating():  # a writer that has only emptied it so far
                raise _none(str(self._path))
        except ConfigurationError as error:
            self._keys, self._rotating_until = before
            if stamp != self._warned:
                log.warning("The signing secrets stay as they were: %s", error.message)
                self._warned = stamp
        else:
            self._seen, self._warned = stamp, _NOTHING


def _warn_of_others(path: Path) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix" and path.stat().st_mode & 0o007:
            log.warning("Everybody on this machine can open %s, and who reads it can sign: chmod 600 it.", path)


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    # Of a mode or an owner that was put right only the last one tells.
    return stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_ctime_ns


def _keys(secrets: Iterable[tuple[str, datetime | None]]) -> tuple[Key, ...]:
    dated = {checked_secret(one): expires_at for one, expires_at in secrets}
    return tuple(Key(one.encode(), keys_of(one), expires_at) for one, expires_at in dated.items())


def _none(path: str | None = None) -> ConfigurationError:
    place = f"The file {path} holds" if path else "There is"
    return ConfigurationError(
        f"{place} no signing secret: nothing could be verified.",
        field="secrets_file" if path else "secrets",
        hint=f"Set {ENVIRONMENT} (separated by commas), or name a file with --secrets-file.",
    )
