"""What a person does to a running Dagster: start runs and backfills, terminate, re-execute, switch sensors."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from scripts.dagster_local import queries
from scripts.dagster_local.errors import DagsterTimeout
from scripts.dagster_local.graphql import path_of, tags_of
from scripts.dagster_local.project import NAME
from scripts.dagster_local.reading import FINAL, Reading
from scripts.dagster_local.workers import Workers

T = TypeVar("T")

Strategy = Literal["FROM_FAILURE", "ALL_STEPS", "FROM_ASSET_FAILURE"]
ASSET_JOB = "__ASSET_JOB"
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": NAME}
IN_PROCESS = {"execution": {"config": {"in_process": {}}}}
"""Run config of the executor that runs all steps in the run worker's own process."""


class Control(Reading, Workers):
    """Actions through GraphQL, as the pages do them. Asset keys are texts with slashes (`Orders/public/orders`)."""

    home: Path

    # --- runs --------------------------------------------------------------------------------------------------

    def launch_assets(
        self,
        *asset_keys: str,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        in_process: bool = False,
    ) -> str:
        """Start one run that materializes these assets with their checks, and return its id.

        partition: the key of one. config: run config. in_process: all steps in the run worker's own process.
        """
        return self._launch(
            {"jobName": ASSET_JOB, "assetSelection": [path_of(key) for key in asset_keys]},
            {**({"dagster/partition": partition} if partition else {}), **(tags or {})},
            config,
            in_process,
        )

    def launch_job(
        self,
        job: str,
        *,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        in_process: bool = False,
    ) -> str:
        """Start a run of a job and return its id."""
        return self._launch({"jobName": job}, tags or {}, config, in_process)

    def launch_range(
        self, first: str, last: str, *asset_keys: str, tags: Mapping[str, str] | None = None, in_process: bool = False
    ) -> str:
        """Start one run over a range of partitions, both ends included, as a single-run backfill or the CLI does."""
        ends = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self.launch_assets(*asset_keys, tags={**ends, **(tags or {})}, in_process=in_process)

    def reexecute(self, run_id: str, strategy: Strategy, tags: Mapping[str, str] | None = None) -> str:
        """Start a re-execution of an ended run, as the buttons do, and return its id."""
        params = {"parentRunId": run_id, "strategy": strategy, "extraTags": tags_of(tags), "useParentRunTags": True}
        return self.graphql.act(queries.REEXECUTE, "LaunchRunSuccess", params=params)["run"]["runId"]

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Ask a run to end. force: call it canceled at once, whatever becomes of its processes."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        self.graphql.act(queries.TERMINATE, "TerminateRunSuccess", runId=run_id, policy=policy)

    def delete(self, run_id: str) -> None:
        """Delete a run with its log."""
        self.graphql.act(queries.DELETE, "DeletePipelineRunSuccess", runId=run_id)

    # --- backfills ---------------------------------------------------------------------------------------------

    def backfill(
        self, asset_keys: Sequence[str], partitions: Sequence[str], tags: Mapping[str, str] | None = None
    ) -> str:
        """Start a backfill of these assets over these partitions, which the daemon carries out; return its id."""
        params = {
            "assetSelection": [path_of(key) for key in asset_keys],
            "partitionNames": list(partitions),
            "tags": tags_of(tags),
        }
        return self.graphql.act(queries.BACKFILL, "LaunchBackfillSuccess", params=params)["backfillId"]

    def wait_backfill(self, backfill_id: str, timeout_seconds: float = 180.0) -> dict[str, Any]:
        """Wait until a backfill has ended; return its state as `backfill_state` does."""

        def ended() -> dict[str, Any] | None:
            state = self.backfill_state(backfill_id)
            return state if state["status"] not in ("REQUESTED", "CANCELING", "FAILING") else None

        return self.wait_until(ended, f"backfill {backfill_id} to end", timeout_seconds)

    # --- sensors -----------------------------------------------------------------------------------------------

    def start_sensor(self, name: str) -> None:
        self.graphql.act(queries.START_SENSOR, "Sensor", selector=self.sensor_selector(name))

    def stop_sensor(self, name: str) -> None:
        """Stop it for good: the end of a tick that is under way meanwhile writes the status of its begin back."""

        def stopped() -> bool:
            sensor = self._sensor(name)["sensorState"]
            if sensor["status"] != "STOPPED":
                self.graphql.act(queries.STOP_SENSOR, "StopSensorMutationResult", id=sensor["id"])
            return all(tick["status"] != "STARTED" for tick in self.sensor_state(name)["ticks"][:1]) and (
                self.sensor_state(name)["status"] == "STOPPED"
            )

        self.wait_until(stopped, f"the sensor {name} to be stopped")

    def set_cursor(self, name: str, cursor: str | None) -> None:
        self.graphql.act(queries.SET_CURSOR, "Sensor", selector=self.sensor_selector(name), cursor=cursor)

    # --- waiting -----------------------------------------------------------------------------------------------

    def wait_run(self, run_id: str, *statuses: str, timeout_seconds: float = 180.0) -> str:
        """Wait until a run has one of the statuses (any final one by default) and return it."""
        wanted = statuses or FINAL

        def reached() -> str | None:
            status = self.run_status(run_id)
            if status in FINAL and status not in wanted:
                raise DagsterTimeout(f"the run ended as {status} while waiting for {wanted}\n{self.dump(run_id)}")
            return status if status in wanted else None

        return self.wait_until(reached, f"run {run_id} to be {' or '.join(wanted)}", timeout_seconds, run_id)

    def wait_until(
        self,
        probe: Callable[[], T | None],
        what: str,
        timeout_seconds: float = 60.0,
        run_id: str | None = None,
        every_seconds: float = 0.4,
    ) -> T:
        """Poll until `probe` returns something true; raise DagsterTimeout with a dump otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while not (result := probe()):
            self.check()
            if time.monotonic() > deadline:
                raise DagsterTimeout(f"waited {timeout_seconds:g} s for {what}\n{self.dump(run_id)}")
            time.sleep(every_seconds)
        return result

    def check(self) -> None:
        """Raise when a component died."""

    def dump(self, run_id: str | None = None) -> str:
        """Return what helps to understand a failure."""
        lines = [f"at {datetime.now(UTC):%H:%M:%S}Z, home {self.home}"]
        if run_id is not None:
            lines.append(f"run {run_id}: {self.run_status(run_id)}")
            lines += [f"  {line}" for line in self.run_log(run_id).splitlines()[-40:]]
        return "\n".join(lines)

    def _launch(
        self, target: Mapping[str, Any], tags: Mapping[str, str], config: Mapping[str, Any] | None, in_process: bool
    ) -> str:
        params = {
            "selector": {**REPOSITORY, **target},
            "mode": "default",
            "runConfigData": {**(config or {}), **(IN_PROCESS if in_process else {})},
            "executionMetadata": {"tags": tags_of(tags)},
        }
        return self.graphql.act(queries.LAUNCH, "LaunchRunSuccess", params=params)["run"]["runId"]
