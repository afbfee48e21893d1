"""A user's kill that comes while the trigger's connection is looked up: Airflow's own run of a trigger, and backend."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG

from airflow_provider_planasonix.triggers import asking, patience, run, stages
from tests.airflow.killed import Airflow, Jobs, Log, airflow, in_a_triggerer, jobs, one, several

__all__ = ["airflow", "jobs"]  # fixtures


@pytest.fixture
def env_backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The secrets backend of environment variables, which has no async look-up, as Vault's has none."""
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": "planasonix", "host": "http://127.0.0.1:9"}))
    return next(backend for backend in ensure_secrets_backend_loaded() if "Environment" in type(backend).__name__)


@pytest.mark.parametrize("make", [one, several])
def test_it_is_heard(
    airflow: Airflow, jobs: Jobs, env_backend: Any, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    log, real = Log(), type(env_backend).get_connection

    def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        time.sleep(1.0)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(type(env_backend), "get_connection", slow)
    monkeypatch.setattr(patience, "_prepared", True)
    monkeypatch.setattr(asking, "_first_question", None)
    for module, trigger in ((run, run.PlanasonixRunTrigger), (stages, stages.PlanasonixStagesTrigger)):
        monkeypatch.setattr(trigger, "log", log)
        monkeypatch.setattr(module, "prepare_for_a_kill", lambda key: None)
    airflow.states = {"r": {"sync": "failed"}}
    asyncio.run(in_a_triggerer(make(), log, _USER_ACTION_CANCEL_MSG, every=0.3))
    assert jobs.cancelled == (["job_1"] if make is one else ["job_1", "job_2"])
