"""One warning for all that goes wrong in telling of a flow run: a thousand waits would say it a thousand times."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from typing import Any
from uuid import UUID

from planasonix.errors import redact

Log = logging.Logger | logging.LoggerAdapter[Any]

_KEPT = 1000
_LONGEST_REASON = 300
_warned: OrderedDict[UUID | None, None] = OrderedDict()


def warn_once(run_id: UUID | None, logger: Log, what: str, error: BaseException) -> None:
    """Log that `what` may not be seen in Prefect: as a warning the first time for a run, then at level debug."""
    level = logging.DEBUG if run_id in _warned else logging.WARNING
    _warned[run_id] = None
    while len(_warned) > _KEPT:
        _warned.popitem(last=False)
    reason = redact(f"{type(error).__name__}: {error}")[:_LONGEST_REASON]
    text = "%s of a Planasonix run may not be seen in Prefect, which changes nothing for the run itself: %s"
    # The logger of a run may send what it logs; a failure there is no reason to fail either.
    with contextlib.suppress(Exception):
        logger.log(level, text, what, reason)
