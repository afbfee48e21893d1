"""What can be seen of a running Prefect: flow runs, task runs, states, artifacts, events, logs, files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.prefect_local.leaks import files_with
from scripts.prefect_local.rest import Rest

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

# Where Prefect itself hands a worker's environment over to the process of a flow run, until that has ended.
_HANDED_OVER = "prefect-workspace-attempt-"


class Reading:
    """Observations through the REST API; values are as it gives them."""

    home: Path
    rest: Rest

    def run(self, flow_run_id: str) -> dict[str, Any]:
        """Return a flow run: `id`, `name`, `state` (`type`, `name`, `message`), `run_count`, `parameters`, ..."""
        return self.rest.get(f"flow_runs/{flow_run_id}")

    def state(self, flow_run_id: str) -> str:
        """Return the name of a flow run's state: `Running`, `Suspended`, `AwaitingRetry`, ..."""
        return str((self.run(flow_run_id)["state"] or {}).get("name"))

    def state_type(self, flow_run_id: str) -> str:
        """Return the type of a flow run's state; `FINAL` has the last ones."""
        return str((self.run(flow_run_id)["state"] or {}).get("type"))

    def states(self, flow_run_id: str) -> list[str]:
        """Return the names of all states that a flow run had, oldest first."""
        found = self.rest.get(f"flow_run_states/?flow_run_id={flow_run_id}")
        return [one["name"] for one in sorted(found, key=lambda one: one["timestamp"])]

    def runs(self, *, deployment_id: str | None = None, tags: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return flow runs, oldest first: of a deployment, or of those that carry all the tags."""
        wanted: dict[str, Any] = {}
        if deployment_id is not None:
            wanted["deployment_id"] = {"any_": [deployment_id]}
        if tags:
            wanted["tags"] = {"all_": list(tags)}
        return self.rest.all("flow_runs/filter", {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC"})

    def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return the task runs of a flow run, oldest first."""
        wanted = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return self.rest.all("task_runs/filter", wanted)

    def artifacts(self, flow_run_id: str, key_prefix: str = "") -> list[dict[str, Any]]:
        """Return the artifacts of a flow run, oldest first: `key`, `type`, `data`, `description`, ..."""
        wanted = {"flow_run_id": {"any_": [flow_run_id]}}
        found = self.rest.all("artifacts/filter", {"artifacts": wanted, "sort": "CREATED_DESC"})
        return [one for one in reversed(found) if (one["key"] or "").startswith(key_prefix)]

    def events(self, *prefixes: str, flow_run_id: str | None = None) -> list[dict[str, Any]]:
        """Return events, oldest first: those whose names begin with one of these, and that concern a flow run."""
        wanted: dict[str, Any] = {"order": "ASC"}
        if prefixes:
            wanted["event"] = {"prefix": list(prefixes)}
        if flow_run_id is not None:
            wanted["any_resource"] = {"id": [f"prefect.flow-run.{flow_run_id}"]}
        page = self.rest.post("events/filter", {"filter": wanted, "limit": 50})
        found = list(page["events"])
        while following := page.get("next_page"):
            page = self.rest.get(following.split("/api/", 1)[1])
            found += page["events"]
        return found

    def log(self, flow_run_id: str) -> str:
        """Return the log of a flow run and of its tasks, one message a line at least."""
        wanted = {"logs": {"flow_run_id": {"any_": [flow_run_id]}}, "sort": "TIMESTAMP_ASC"}
        found = self.rest.all("logs/filter", wanted)
        return "\n".join(f"{one['level']} {one['name']} {one['message']}" for one in found)

    def files_with(self, text: str) -> list[Path]:
        """Return every file of the home that holds a text (to look for leaked secrets), Base64 decoded."""
        return [path for path in files_with(self.home, text) if _HANDED_OVER not in str(path)]
