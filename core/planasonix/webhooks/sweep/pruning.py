"""The sweeper's second duty, once a day: an inbox that nobody prunes grows until its disk is full."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix.webhooks.inbox import Inbox, Lease

log = logging.getLogger(__name__)

KEEP_DAYS = 30.0
_LONGEST_KEEP_DAYS = 36_500.0
_EVERY_SECONDS = 86_400.0
# One for all tenants of an inbox: they sweep under different leases, but what is old is old for all of them.
_NOTE = "pruned at"


class Pruning:
    """Removes once a day what came more than `keep_days` ago; None keeps everything.

    Raises `ConfigurationError` for days that are not above 0 and at most 36,500.
    """

    def __init__(self, keep_days: float | None) -> None:
        if keep_days is not None and (isinstance(keep_days, bool) or not 0 < keep_days <= _LONGEST_KEEP_DAYS):
            raise ConfigurationError(
                f"keep_days must be above 0 and {_LONGEST_KEEP_DAYS:g} at most, or None to keep everything, "
                f"got {keep_days!r}.",
                field="keep_days",
            )
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._not_before = 0.0

    def prune_if_due(self, inbox: Inbox, lease: Lease) -> None:
        """Prune if nobody has for a day. Raises `LeaseLost` if another process sweeps now; nothing else: what fails
        is logged, and done with the next day's.
        """
        from planasonix.webhooks.inbox import LeaseLost

        # The inbox is not asked at every sweep: only the first one, and the one after a day, can be due.
        if self._keep is None or time.monotonic() < self._not_before:
            return
        try:
            age = time.time() - _seconds_of(inbox.note(_NOTE))
            if 0 <= age < _EVERY_SECONDS:
                self._not_before = time.monotonic() + _EVERY_SECONDS - age
                return
            self._not_before = time.monotonic() + _EVERY_SECONDS
            # First, under the lease: pruning may take longer than the lease lasts, and one process of all does it.
            inbox.write_note(_NOTE, str(time.time()), lease)
            pruned = inbox.prune(self._keep)
        except LeaseLost:
            self._not_before = 0.0
            raise
        except Exception as error:
            told = error.headline() if isinstance(error, PlanasonixError) else type(error).__name__
            log.warning("the inbox was not pruned, the next try is in a day: %s", told)
            return
        if pruned.events or pruned.dead_letters:
            log.info("pruned %d events and %d dead letters", pruned.events, pruned.dead_letters)
        if pruned.behind:
            log.warning("pruned what had not been read to the end by: %s", ", ".join(pruned.behind))


def _seconds_of(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
