"""Who started a job, as the job carries it in its metadata (G7).

The keys `triggered_by` and `dag_run_id` are the ones of the API's own example (facts §1.1). Everything here stays the
same within a generation, because a retried POST must send the same bytes: no try number, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from planasonix.runs.metadata_names import DEPTH, GENERATION, INTENT


@dataclass(frozen=True)
class Provenance:
    """The orchestrator's side of a job: names and ids, never a secret.

    `triggered_by` says in one line who; `details` are the orchestrator's own words (`dag_id`, `task_id`,
    `map_index`, `flow_run_id`, `link`, …) in its own spelling. `depth` counts the jobs above this one in a chain of
    webhooks that start jobs (G9).
    """

    orchestrator: str
    triggered_by: str
    details: dict[str, str | int] = field(default_factory=dict[str, str | int])
    depth: int = 0

    def metadata(self, intent: str, generation: int, extra: dict[str, object] | None = None) -> dict[str, object]:
        """The metadata of one job. `extra` is the user's own and may not replace ours."""
        ours: dict[str, object] = {
            "triggered_by": self.triggered_by,
            "orchestrator": self.orchestrator,
            **self.details,
            INTENT: intent,
            GENERATION: generation,
            DEPTH: self.depth,
        }
        return {**(extra or {}), **ours}
