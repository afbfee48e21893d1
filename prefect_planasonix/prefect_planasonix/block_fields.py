"""What all blocks share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.blocks.core import Block

DOCUMENTATION_URL = "https://docs.planasonix.com/"
LOGO_URL = None
"""No picture is fetched from anywhere."""

logger = logging.getLogger("prefect_planasonix")


def warn_of_unknown_fields(block: Block) -> None:
    """Prefect keeps a misspelt field without a word, and it has no effect. Their values are not shown."""
    unknown = sorted(set(block.model_extra or {}) - {"block_type_slug"})
    if unknown:
        logger.warning("%s: %s is not known and has no effect", type(block).__name__, ", ".join(unknown))
