"""What `sync_and_poll` returns: the step's events, to be yielded one by one, with more told about them by wish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.targets import TableAsset

if TYPE_CHECKING:
    from planasonix import Planasonix

StepEvent = (
    dg.MaterializeResult | dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckResult | dg.AssetCheckEvaluation
)


class PlanasonixEventIterator(Iterator[StepEvent]):
    """The events of a step; nothing is started before the first is asked for.

    yield from workspace.sync_and_poll(context).fetch_column_metadata()
    """

    def __init__(
        self,
        events: Iterator[StepEvent],
        *,
        tables: Callable[[], dict[dg.AssetKey, TableAsset]],
        client: Callable[[], Planasonix],
        log: dg.DagsterLogManager,
    ) -> None:
        self._events = events
        self._tables = tables
        self._client = client
        self._log = log
        self._is_used = False

    def __del__(self) -> None:
        # A step that forgets `yield from` ends well without having loaded anything.
        if not self._is_used:
            with suppress(Exception):  # whatever the log is by then, Python only prints what is raised here
                self._log.warning(
                    "Nothing was loaded: the events of sync_and_poll were never asked for. "
                    "Write `yield from workspace.sync_and_poll(context)`."
                )

    def __iter__(self) -> PlanasonixEventIterator:
        return self

    def __next__(self) -> StepEvent:
        self._is_used = True
        return next(self._events)

    def fetch_column_metadata(self) -> PlanasonixEventIterator:
        """The same events, with the columns of each loaded table as `dagster/column_schema`.

        Once tables are loaded, one call a table is made, several at a time (facts §1.5, columns). Never fails the step:
        what cannot be read within a minute is logged and left out.
        """
        from dagster_planasonix.columns import with_columns

        self._is_used = True
        events = with_columns(self._events, tables=self._tables, client=self._client, log=self._log)
        return PlanasonixEventIterator(events, tables=self._tables, client=self._client, log=self._log)
