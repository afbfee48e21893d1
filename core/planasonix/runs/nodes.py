"""What became of each node of a pipeline run: the report of its parts, as the tables are of a job's (G7).

It is read as a best effort, and never decides how the run ended: that a node failed inside a run that succeeded may be
what the pipeline's author wanted, and no document says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.runs.effects import Nodes, Steps
from planasonix.runs.shown import text


@dataclass(frozen=True)
class NodeOutcome:
    """One node. `status` is the API's own word; rows are None where the API gave no count."""

    node_id: str
    status: str | None
    type: str | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    error_message: str | None = None

    @property
    def failed(self) -> bool:
        return (self.status or "").lower() in ("failed", "error")


def read_nodes(run_id: str) -> Steps[tuple[NodeOutcome, ...] | None]:
    """The nodes in the order of the API, None where they could not be read."""
    try:
        shown: Any = yield Nodes(run_id)
    except PlanasonixError:
        return None
    return None if shown is None else tuple(_node(each) for each in shown.nodes or ())


def _node(shown: Any) -> NodeOutcome:
    return NodeOutcome(
        node_id=text(shown.node_id) or "",
        status=text(shown.status),
        type=text(shown.type),
        rows_in=_count(shown.metrics, "rowsIn", "rows_in"),
        rows_out=_count(shown.metrics, "rowsOut", "rows_out"),
        error_message=text(getattr(shown.error, "message", None)),
    )


def _count(metrics: Mapping[str, Any] | None, *names: str) -> int | None:
    for name in names:
        value = (metrics or {}).get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
