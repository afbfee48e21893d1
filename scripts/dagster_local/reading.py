"""What can be seen of a running Dagster: runs, steps, events, assets, checks, sensors, files."""

from pathlib import Path
from typing import Any

from scripts.dagster_local import queries
from scripts.dagster_local.events import (
    AssetEvent,
    CheckEvent,
    Event,
    asset_event_of,
    check_event_of,
    event_of,
)
from scripts.dagster_local.graphql import GraphQL, path_of, tags_of
from scripts.dagster_local.project import NAME
from scripts.dagster_local.snapshots import snapshots_in

FINAL = ("SUCCESS", "FAILURE", "CANCELED")


class Reading:
    """Observations through GraphQL. Asset keys are texts with slashes."""

    home: Path
    graphql: GraphQL

    # --- runs --------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> dict[str, Any]:
        """Return `runId`, `status`, `rootRunId`, `parentRunId` and `tags` (a dict) of a run."""
        found = self.graphql.ask(queries.RUN, runId=run_id)["runOrError"]
        return {**found, "tags": {tag["key"]: tag["value"] for tag in found.get("tags", [])}}

    def run_status(self, run_id: str) -> str:
        return str(self.run(run_id).get("status"))

    def runs(self, limit: int = 100, **tags: str) -> list[dict[str, Any]]:
        """Return runs, newest first. tags: only those that carry them; `_` stands for a slash in a name."""
        wanted = tags_of({key.replace("_", "/", 1): value for key, value in tags.items()})
        found = self.graphql.ask(queries.RUNS, filter={"tags": wanted} if wanted else None, limit=limit)
        return [
            {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in found["runsOrError"]["results"]
        ]

    def run_group(self, run_id: str) -> list[dict[str, Any]]:
        """Return the run, or the root that it names, and all re-executions of it, oldest first."""
        root = self.run(run_id)["rootRunId"] or run_id
        found = [run for run in self.runs() if root in (run["runId"], run["rootRunId"])]
        return sorted(found, key=lambda run: run["creationTime"])

    def events(self, run_id: str, *kinds: str) -> list[Event]:
        """Return the log of a run, oldest first. kinds: only events of these types."""
        found: list[Event] = []
        cursor: str | None = None
        while True:
            page = self.graphql.ask(queries.EVENTS, runId=run_id, cursor=cursor)["logsForRun"]
            found += [event_of(event) for event in page.get("events", [])]
            cursor = page.get("cursor")
            if not page.get("hasMore"):
                return [event for event in found if not kinds or event.kind in kinds]

    def run_log(self, run_id: str) -> str:
        """Return messages, metadata and errors of a run as text, one event a line at least."""
        lines: list[str] = []
        for event in self.events(run_id):
            lines.append(f"{event.level} {event.kind or ''} {event.step_key or ''} {event.message}")
            lines += [f"    {event.metadata}"] if event.metadata else []
            lines += [f"    {event.error}"] if event.error else []
        return "\n".join(lines)

    def steps(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return by step key: `status`, `startTime`, `endTime`, `attempts`."""
        found = self.graphql.ask(queries.STEPS, runId=run_id)["runOrError"]["stepStats"]
        return {step["stepKey"]: step for step in found}

    def backfill_state(self, backfill_id: str) -> dict[str, Any]:
        """Return `status`, `error` and `assets`: by asset key the counts `targeted`, `materialized`, `failed`."""
        found = self.graphql.ask(queries.BACKFILL_STATE, id=backfill_id)["partitionBackfillOrError"]
        data = found.get("assetBackfillData") or {"assetBackfillStatuses": []}
        assets = {
            "/".join(counts.pop("assetKey")["path"]): counts for counts in data["assetBackfillStatuses"] if counts
        }
        return {"status": found.get("status"), "error": found.get("error"), "assets": assets}

    # --- assets ------------------------------------------------------------------------------------------------

    def assets(self) -> dict[str, dict[str, Any]]:
        """Return by asset key: `groupName`, `kinds`, `isPartitioned`, `jobNames`, `checks` (their names)."""
        found: dict[str, dict[str, Any]] = {}
        for node in self.graphql.ask(queries.ASSETS)["assetNodes"]:
            checks = (node.pop("assetChecksOrError") or {}).get("checks", [])
            found["/".join(node.pop("assetKey")["path"])] = {**node, "checks": [check["name"] for check in checks]}
        return found

    def materializations(self, asset_key: str, limit: int = 100) -> list[AssetEvent]:
        """Newest first."""
        return self._asset_events(queries.MATERIALIZATIONS, asset_key, limit)

    def observations(self, asset_key: str, limit: int = 100) -> list[AssetEvent]:
        """Newest first."""
        return self._asset_events(queries.OBSERVATIONS, asset_key, limit)

    def checks(self, asset_key: str, name: str, limit: int = 100) -> list[CheckEvent]:
        """The evaluations of one check, newest first."""
        found = self.graphql.ask(queries.CHECKS, key=path_of(asset_key), name=name, limit=limit)
        return [check_event_of(one) for one in found["assetCheckExecutions"]]

    # --- sensors -----------------------------------------------------------------------------------------------

    def sensor_selector(self, name: str) -> dict[str, str]:
        return {"repositoryName": "__repository__", "repositoryLocationName": NAME, "sensorName": name}

    def sensor_state(self, name: str, limit: int = 50) -> dict[str, Any]:
        """Return `status`, `cursor` and `ticks` (newest first; `status`, `cursor`, `error`, `skipReason`, times)."""
        found = self.graphql.ask(queries.TICKS, selector=self.sensor_selector(name), limit=limit)["sensorOrError"]
        state = found["sensorState"]
        data = state["typeSpecificData"] or {}
        return {"status": state["status"], "cursor": data.get("lastCursor"), "ticks": state["ticks"]}

    def sensors(self) -> dict[str, str]:
        """Return status by name."""
        return {one["name"]: one["sensorState"]["status"] for one in self._sensors()}

    # --- files -------------------------------------------------------------------------------------------------

    def files_with(self, text: str) -> list[Path]:
        """Return every file of the home that holds a text (to look for leaked secrets): of databases also what Dagster
        stores compressed, the snapshots of jobs and of execution plans.
        """
        needle = text.encode()

        def holds(path: Path) -> bool:
            # A running Dagster makes and removes files meanwhile, and sockets cannot be read.
            try:
                return path.is_file() and (
                    needle in path.read_bytes() or any(needle in one for one in snapshots_in(path))
                )
            except OSError:
                return False

        return [path for path in sorted(self.home.rglob("*")) if holds(path)]

    def _asset_events(self, query: str, asset_key: str, limit: int) -> list[AssetEvent]:
        found = self.graphql.ask(query, key=path_of(asset_key), limit=limit)["assetOrError"]
        return [asset_event_of(event) for event in found.get("found", [])]

    def _sensor(self, name: str) -> dict[str, Any]:
        return next(one for one in self._sensors() if one["name"] == name)

    def _sensors(self) -> list[dict[str, Any]]:
        selector = {"repositoryName": "__repository__", "repositoryLocationName": NAME}
        return self.graphql.ask(queries.SENSORS, selector=selector)["sensorsOrError"]["results"]
