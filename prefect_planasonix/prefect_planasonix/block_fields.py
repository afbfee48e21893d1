"""What all blocks share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from prefect.blocks.core import Block

DOCUMENTATION_URL = "https://docs.planasonix.com/"
LOGO_URL = None
"""No picture is fetched from anywhere."""

logger = logging.getLogger("prefect_planasonix")

_PREFECTS_OWN = {"block_type_slug"}


def refuse_unknown_fields(block: type[Block], given: Iterable[str]) -> None:
    """For `__new__` of a block, which gets keywords only where code makes one: a stored document is read without.

    Prefect keeps a misspelt field without a word. Raises `ConfigurationError`, which names the field and the nearest
    right one, and never a value.
    """
    known = list(block.model_fields)
    for name in given:
        if name not in known and name not in _PREFECTS_OWN:
            close = get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"{block.__name__} has no field {name!r}.",
                field=name,
                hint=f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}.",
            )


def warn_of_unknown_fields(block: Block) -> None:
    """A document that another version of the package has stored still loads. Their values are not shown."""
    unknown = sorted(set(block.model_extra or {}) - _PREFECTS_OWN)
    if unknown:
        logger.warning("%s: %s is not known and has no effect", type(block).__name__, ", ".join(unknown))
