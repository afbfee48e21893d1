"""What a person does to a running Prefect: deploy, start runs, cancel, suspend, resume, retry."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from scripts.prefect_local.errors import PrefectTimeout
from scripts.prefect_local.processes import Processes
from scripts.prefect_local.reading import FINAL, Reading
from scripts.prefect_local.settings import POOL

T = TypeVar("T")


class Control(Reading, Processes):
    """Actions through the REST API, as the pages and the client do them. Ids are texts."""

    flows: Path

    # --- deployments -------------------------------------------------------------------------------------------

    def deploy(
        self,
        entrypoint: str,
        name: str = "local",
        *,
        flow_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        pool: str | None = POOL,
    ) -> str:
        """Deploy a flow of the flows' folder to the worker's pool and return the deployment's id.

        entrypoint: `file.py:function`. flow_name: the function's name with dashes by default, as Prefect makes it.
        """
        flow_name = flow_name or entrypoint.rpartition(":")[2].replace("_", "-")
        flow = self.rest.post("flows/", {"name": flow_name})
        body = {
            "name": name,
            "flow_id": flow["id"],
            "entrypoint": entrypoint,
            "parameters": dict(parameters or {}),
            "parameter_openapi_schema": {"type": "object", "properties": {}},
            "enforce_parameter_schema": False,
            "tags": list(tags),
            "work_pool_name": pool,
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(self.flows)}}],
        }
        return str(self.rest.post("deployments/", body)["id"])

    def deployment_id(self, name: str) -> str:
        """Return the id of the deployment `flow/name`."""
        return str(self.rest.get(f"deployments/name/{name}")["id"])

    # --- flow runs ---------------------------------------------------------------------------------------------

    def start_run(
        self, deployment_id: str, parameters: Mapping[str, Any] | None = None, tags: Sequence[str] = ()
    ) -> str:
        """Create a run of a deployment, to begin at once, and return its id."""
        body = {"parameters": dict(parameters or {}), "tags": list(tags), "state": {"type": "SCHEDULED"}}
        return str(self.rest.post(f"deployments/{deployment_id}/create_flow_run", body)["id"])

    def set_state(self, flow_run_id: str, kind: str, name: str | None = None, *, force: bool = False) -> str:
        """Ask for a state; return what the server made of it (`ACCEPT`, `REJECT`, `ABORT`, `WAIT`)."""
        state: dict[str, Any] = {"type": kind, **({"name": name} if name else {})}
        return str(self.rest.post(f"flow_runs/{flow_run_id}/set_state", {"state": state, "force": force})["status"])

    def cancel(self, flow_run_id: str, *, force: bool = False) -> str:
        """Cancel a run as the button does. force: call it cancelled at once, whatever becomes of its process."""
        if force:
            return self.set_state(flow_run_id, "CANCELLED", force=True)
        return self.set_state(flow_run_id, "CANCELLING")

    def suspend(self, flow_run_id: str) -> str:
        """Suspend a run as the button does."""
        return self.set_state(flow_run_id, "PAUSED", "Suspended")

    def resume(self, flow_run_id: str) -> str:
        """Resume a suspended run; return what the server made of it."""
        return str(self.rest.post(f"flow_runs/{flow_run_id}/resume")["status"])

    def retry(self, flow_run_id: str) -> str:
        """Retry an ended run as the button does: the same run, once more."""
        now = datetime.now(UTC).isoformat()
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": now}}
        answer = self.rest.post(f"flow_runs/{flow_run_id}/set_state", {"state": state, "force": False})
        return str(answer["status"])

    # --- events ------------------------------------------------------------------------------------------------

    def post_event(self, event: str, resource: Mapping[str, str], related: Sequence[Mapping[str, str]] = ()) -> None:
        """Post an event, as somebody without Prefect's client does."""
        body = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event,
            "resource": dict(resource),
            "related": [dict(one) for one in related],
        }
        self.rest.post("events", [body])

    # --- waiting -----------------------------------------------------------------------------------------------

    def wait_run(self, flow_run_id: str, *names: str, timeout_seconds: float = 180.0) -> str:
        """Wait until a run's state has one of the names (is any final one by default); return the name."""

        def reached() -> str | None:
            state = self.run(flow_run_id)["state"] or {}
            name, final = state.get("name"), state.get("type") in FINAL
            if names and final and name not in names:
                raise PrefectTimeout(f"the run ended as {name} while waiting for {names}\n{self.dump(flow_run_id)}")
            return name if (name in names if names else final) else None

        return self.wait_until(
            reached, f"run {flow_run_id} to be {' or '.join(names) or 'over'}", timeout_seconds, flow_run_id
        )

    def wait_until(
        self,
        probe: Callable[[], T | None],
        what: str,
        timeout_seconds: float = 60.0,
        run_id: str | None = None,
        every_seconds: float = 0.4,
    ) -> T:
        """Poll until `probe` returns something true; raise PrefectTimeout with a dump otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while not (result := probe()):
            self.check()
            if time.monotonic() > deadline:
                raise PrefectTimeout(f"waited {timeout_seconds:g} s for {what}\n{self.dump(run_id)}")
            time.sleep(every_seconds)
        return result

    def check(self) -> None:
        """Raise when a component died."""

    def dump(self, run_id: str | None = None) -> str:
        """Return what helps to understand a failure."""
        lines = [f"at {datetime.now(UTC):%H:%M:%S}Z, home {self.home}"]
        if run_id is not None:
            lines.append(f"run {run_id}: {' > '.join(self.states(run_id))}: {self.run(run_id)['state']['message']}")
            lines += [f"  {line}" for line in self.log(run_id).splitlines()[-40:]]
        return "\n".join(lines)
