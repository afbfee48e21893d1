"""Airflow's ledgers for reconcile: what tasks keep in `task_state_store`, and what became of the tasks.

Read through Airflow's public REST API, so that it works from any machine that reaches the API server, and from a DAG.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_planasonix.ledger import KEY
from airflow_provider_planasonix.reconcile_rest import AirflowRest
from airflow_provider_planasonix.task_state import TaskKey
from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs import Entry, Unreadable, read_record

OPERATORS = ("PlanasonixSyncOperator", "PlanasonixBackfillOperator", "PlanasonixRunPipelineOperator")
"""Class names of the operators that start runs. Airflow knows a subclass by its own name only."""

ENDED = ("failed", "success", "skipped", "removed", "upstream_failed")
ALIVE = frozenset(
    {"scheduled", "queued", "running", "deferred", "restarting", "up_for_retry", "up_for_reschedule", "awaiting_input"}
)
"""What a task goes on from by itself, as a cleared one does (None): its next try finds the run, or cancels it."""

SINCE_HOURS = 48.0
_PAGE = 100
_OPTIONS = ("url", "dags", "operators", "max_parallel")


class AirflowSource:
    """The ledger entries of all tasks that ended lately.

    :param dag_ids: look at these DAGs only; at all that the user may read when left out.
    :param operators: class names besides those of this package: subclasses of its operators.
    :param since_hours: tasks whose state changed within these hours are looked at.
    :param max_parallel: how many calls Airflow gets at the same time.
    """

    def __init__(
        self,
        rest: AirflowRest,
        *,
        dag_ids: Sequence[str] = (),
        operators: Sequence[str] = (),
        since_hours: float = SINCE_HOURS,
        max_parallel: int = 4,
        now: Callable[[], float] = time.time,
    ) -> None:
        if max_parallel < 1:
            raise ConfigurationError(f"max_parallel must be 1 or more, got {max_parallel!r}.", field="max_parallel")
        self._rest = rest
        self._dag_ids = tuple(dag_ids) or ("~",)
        self._operators = (*OPERATORS, *operators)
        self._since_hours = since_hours
        self._max_parallel = max_parallel
        self._now = now
        self._places: dict[str, tuple[TaskKey, str]] = {}

    def close(self) -> None:
        self._rest.close()

    def entries(self) -> Iterator[Entry | Unreadable]:
        """Raises `ConfigurationError` or `AirflowApiError` when the tasks cannot be listed."""
        with ThreadPoolExecutor(self._max_parallel, thread_name_prefix="planasonix-reconcile") as pool:
            for dag_id in self._dag_ids:
                for page in self._pages(dag_id):
                    for found in pool.map(self._entries_of, page):
                        yield from found

    def refresh(self, slot: str) -> Entry | None:
        task, key = self._places[slot]
        row = self._rest.get(_path(task, with_index=True))
        stored = self._rest.get(f"{_path(task)}/state-store/{quote(key)}", {"map_index": task.map_index})
        if row is None or stored is None:
            return None
        entry = self._entry(task, row, stored)
        return entry if isinstance(entry, Entry) else None

    def _pages(self, dag_id: str) -> Iterator[list[dict[str, Any]]]:
        """Rows of task instances that have ended. By cursor: pages by number would shift while tasks end."""
        since = datetime.fromtimestamp(self._now() - self._since_hours * 3600.0, UTC)
        query: dict[str, Any] = {
            "state": list(ENDED),
            "operator": list(self._operators),
            # A task is touched whenever its state changes, by a mark too, whose end_date may be older.
            "updated_at_gte": since.isoformat(),
            "order_by": "id",
            "limit": _PAGE,
        }
        cursor: str | None = ""
        while cursor is not None:
            page = self._rest.get(
                f"/dags/{quote(dag_id, safe='~')}/dagRuns/~/taskInstances", query | {"cursor": cursor}
            )
            if not isinstance(page, dict) or "task_instances" not in page:
                raise ConfigurationError(
                    f"{self._rest.url} lists no task instances of {'all DAGs' if dag_id == '~' else dag_id}.",
                    field="PLANASONIX_AIRFLOW_URL" if dag_id == "~" else "dags",
                    hint="Give the URL of an API server of Airflow 3.3 or later, and ids of DAGs that it knows.",
                )
            yield page["task_instances"]
            cursor = page.get("next_cursor")

    def _entries_of(self, row: dict[str, Any]) -> list[Entry | Unreadable]:
        """What one task instance has stored; one that cannot be read does not hide the others."""
        task = TaskKey(row["dag_id"], row["dag_run_id"], row["task_id"], int(row["map_index"]))
        try:
            stored = [item for item in self._stored(task) if _is_ours(item["key"])]
        except PlanasonixError as error:
            return [Unreadable(_slot(task, KEY), error.headline())]
        found = [self._entry(task, row, item) for item in stored]
        return [entry for entry in found if entry is not None]

    def _stored(self, task: TaskKey) -> Iterable[dict[str, Any]]:
        offset = 0
        while True:
            query = {"map_index": task.map_index, "limit": _PAGE, "offset": offset}
            page = self._rest.get(f"{_path(task)}/state-store", query) or {}
            items = page.get("task_state_store") or []
            yield from items
            # The server may give fewer than were asked for.
            offset += len(items)
            if not items or offset >= int(page.get("total_entries") or 0):
                return

    def _entry(self, task: TaskKey, row: dict[str, Any], item: dict[str, Any]) -> Entry | Unreadable | None:
        key, value = item["key"], item["value"]
        slot = _slot(task, key)
        try:
            # The entry of the task holds its record; the others of its stages are records themselves.
            data = value.get("record") if key == KEY else value
            record = None if data is None else read_record(data)
        except (ConfigurationError, ValueError, TypeError, AttributeError) as error:
            return Unreadable(slot, f"{type(error).__name__} in {key}")
        if record is None:
            return None
        self._places[slot] = (task, key)
        state: str | None = row["state"]
        ended = row.get("end_date")
        return Entry(
            slot=slot,
            record=record,
            owner="ended" if state in ENDED else "alive" if state is None or state in ALIVE else "unknown",
            owner_text=state or "cleared",
            ended_at=None if ended is None else datetime.fromisoformat(ended).timestamp(),
            link=self._link(task),
        )

    def _link(self, task: TaskKey) -> str:
        parts = ["dags", task.dag_id, "runs", task.run_id, "tasks", task.task_id]
        if task.map_index >= 0:
            parts += ["mapped", str(task.map_index)]
        return "/".join([self._rest.url, *(quote(part, safe="") for part in parts)])


def source(since_hours: float | None, options: Mapping[str, str]) -> AirflowSource:
    """What `planasonix reconcile --source airflow` calls. Options: `url`, `dags` and `operators` (with commas
    between them), `max_parallel`.

    Credentials come from the environment only, because everybody on a machine sees its command lines:
    `PLANASONIX_AIRFLOW_TOKEN`, or `PLANASONIX_AIRFLOW_USERNAME` and `PLANASONIX_AIRFLOW_PASSWORD`.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(
            f"The source 'airflow' has no option {unknown[0]!r}.",
            field="option",
            hint=f"It takes {', '.join(_OPTIONS)}. Credentials go into PLANASONIX_AIRFLOW_TOKEN, or _USERNAME and "
            "_PASSWORD.",
        )
    parallel = options.get("max_parallel", "4")
    if not parallel.isdigit():
        raise ConfigurationError(f"max_parallel must be a number, got {parallel!r}.", field="max_parallel")
    url = options.get("url") or os.environ.get("PLANASONIX_AIRFLOW_URL")
    if not url:
        raise ConfigurationError(
            "Where Airflow's API server is, is not known.",
            field="PLANASONIX_AIRFLOW_URL",
            hint="Set PLANASONIX_AIRFLOW_URL, or give --option url=https://airflow.example.com",
        )
    return AirflowSource(
        rest_from_environment(url),
        dag_ids=_names(options.get("dags", "")),
        operators=_names(options.get("operators", "")),
        since_hours=SINCE_HOURS if since_hours is None else since_hours,
        max_parallel=int(parallel),
    )


def rest_from_environment(url: str) -> AirflowRest:
    """Airflow's API with the credentials of the environment."""
    read = os.environ.get
    return AirflowRest(
        url,
        token=read("PLANASONIX_AIRFLOW_TOKEN") or None,
        username=read("PLANASONIX_AIRFLOW_USERNAME") or None,
        password=read("PLANASONIX_AIRFLOW_PASSWORD") or None,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_ours(key: str) -> bool:
    return key == KEY or key.startswith(f"{KEY}/")


def _slot(task: TaskKey, key: str) -> str:
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    stage = "" if key == KEY else f" {key.removeprefix(KEY + '/')}"
    return f"{task.dag_id}/{task.run_id}/{task.task_id}{index}{stage}"


def _path(task: TaskKey, *, with_index: bool = False) -> str:
    dag_id, run_id, task_id = (quote(name, safe="") for name in (task.dag_id, task.run_id, task.task_id))
    index = f"/{task.map_index}" if with_index and task.map_index >= 0 else ""
    return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}{index}"
