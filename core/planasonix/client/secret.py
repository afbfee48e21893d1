"""A string that does not show itself."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a secret. Neither `repr`, `str`, `vars` nor pickle gives it away; only `reveal` does."""

    __slots__ = ("__reveal",)

    def __init__(self, value: str) -> None:
        # A closure, so that generic dumpers which walk attributes find a function and no text.
        self.__reveal = lambda: value

    @classmethod
    def wrap(cls, value: str | None) -> Secret | None:
        """The value as a secret; None stays None."""
        return None if value is None else cls(value)

    def reveal(self) -> str:
        """The secret itself."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: pass the name of where it is kept instead")
