"""An executor whose workers run tasks in themselves, for runs of thousands of worker phases on few cores.

What a task does is whole: Airflow's task runner, the operator, the execution API over HTTP, the metadata database. What
is left out is what LocalExecutor spends around it: a process for each phase, which imports, parses the DAG file again
and beats a heart. Read by Airflow's scheduler alone, from its `config` folder.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.sdk.execution_time import supervisor


class OneProcessExecutor(LocalExecutor):
    """LocalExecutor with `run_here` in the place of a supervised process."""

    def start(self) -> None:
        # The workers are forked from here, and look the function up by this name.
        supervisor.supervise_task = run_here
        super().start()


def run_here(*, ti: Any, dag_rel_path: Any, token: str, server: str, **_: Any) -> int:
    """Run one phase of a task to its end, or its deferral; return an exit code."""
    from airflow.configuration import conf
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance

    task = _module(str(Path(conf.get("core", "dags_folder")) / dag_rel_path)).dag.task_dict[ti.task_id]
    what = TaskInstance(**{name: getattr(ti, name) for name in TaskInstance.model_fields if hasattr(ti, name)})
    client = Client(base_url=server, token=token)
    try:
        supervisor.run_task_in_process(ti=what, task=task, client=client)
    finally:
        client.close()
    return 0


@functools.cache
def _module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("many", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
