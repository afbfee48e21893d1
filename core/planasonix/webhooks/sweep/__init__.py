"""The events that no webhook brought: found by lists, and written to the inbox by one process of all.

A delivery can get lost, and no event is documented for a cancelled job or a failed backfill (facts §3.1). `cursor` is
what one sweep leaves to the next, `find` is one sweep, and `sweeper` repeats it under a lease in the inbox, so that any
number of processes cost the API as much as one.
"""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.webhooks.sweep.cursor import SweepCursor
    from planasonix.webhooks.sweep.find import Swept, Told, sweep_once
    from planasonix.webhooks.sweep.sweeper import Sweeper

__all__ = ["SweepCursor", "Sweeper", "Swept", "Told", "sweep_once"]

__getattr__ = lazy_names(
    __name__, {"cursor": ("SweepCursor",), "find": ("Swept", "Told", "sweep_once"), "sweeper": ("Sweeper",)}
)
