"""What all blocks share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from prefect_planasonix.known_names import refuse_unknown_names

if TYPE_CHECKING:
    from prefect.blocks.core import Block

DOCUMENTATION_URL = "https://docs.planasonix.com/"
LOGO_URL = None
"""No picture is fetched from anywhere."""

logger = logging.getLogger("prefect_planasonix")

_PREFECTS_OWN = {"block_type_slug"}


_reads_a_document: ContextVar[bool] = ContextVar("planasonix_reads_a_document", default=False)


def reads_a_document() -> bool:
    """Whether a stored block is being read: its inner blocks are mappings."""
    return _reads_a_document.get()


class KnownFields:
    """What all our blocks do with a field that they do not know: an error in code, a warning in a stored document.

    Prefect would keep a misspelt one without a word. Stands before Prefect's block class.
    """

    def __new__(cls, **given: Any) -> Self:
        if not _reads_a_document.get():
            _refuse_unknown_fields(cls, given)  # type: ignore[arg-type]
        return super().__new__(cls, **given)

    @classmethod
    def model_validate(cls, *given: Any, **how: Any) -> Self:
        """Prefect reads stored documents with this."""
        token = _reads_a_document.set(True)
        try:
            return super().model_validate(*given, **how)  # type: ignore[misc]
        finally:
            _reads_a_document.reset(token)

    def block_initialization(self) -> None:
        _warn_of_unknown_fields(self)  # type: ignore[arg-type]


def _refuse_unknown_fields(block: type[Block], given: Iterable[str]) -> None:
    """Raises `ConfigurationError`, which names the field and the nearest right one, and never a value."""
    asked = [name for name in given if name not in _PREFECTS_OWN]
    refuse_unknown_names(asked, list(block.model_fields), of=block.__name__, what="field")


def _warn_of_unknown_fields(block: Block) -> None:
    """A document that another version of the package has stored still loads. Their values are not shown."""
    unknown = sorted(set(block.model_extra or {}) - _PREFECTS_OWN)
    if unknown:
        logger.warning("%s: %s is not known and has no effect", type(block).__name__, ", ".join(unknown))
