"""Airflow reads the provider, its form and its link, and importing it is cheap."""

import importlib
import json
import subprocess
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_planasonix.get_provider_info import get_provider_info
from airflow_provider_planasonix.hooks.settings import READERS
from planasonix.watch import Kind

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]

# For DAG files: what Airflow's parser imports again and again.
CHEAP = (
    "airflow_provider_planasonix.assets",
    "airflow_provider_planasonix.hooks.planasonix",
    "airflow_provider_planasonix.links",
    "airflow_provider_planasonix.operators.sync",
    "airflow_provider_planasonix.operators.backfill",
    "airflow_provider_planasonix.operators.pipeline",
    "airflow_provider_planasonix.operators.cancel",
    "airflow_provider_planasonix.sensors.job",
    "airflow_provider_planasonix.sensors.backfill",
    "airflow_provider_planasonix.retry_policy",
)
TOO_DEAR = (
    "httpx",
    "planasonix.models",
    "airflow.models",
    "sqlalchemy",
    "planasonix.sandbox",
    "click",
    "rich",
    "openlineage",
)
MEASURE = f"""
import sys, time
import airflow.sdk
from airflow.sdk import DAG, BaseOperator
before = set(sys.modules)
start = time.process_time()
for name in {CHEAP!r}:
    __import__(name)
seconds = time.process_time() - start
new = set(sys.modules) - before
print(seconds, [name for name in {TOO_DEAR!r} if name in new])
"""


def test_the_schema_that_airflow_checks_at_start() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_the_form_follows_the_schema_of_providers() -> None:
    schema = json.loads(files("airflow").joinpath("provider.yaml.schema.json").read_text())
    jsonschema.validate(INFO["connection-types"], schema["properties"]["connection-types"])


def test_every_field_of_the_form_is_read() -> None:
    # Tables of paths are for experts: they go into the extra field by hand.
    assert set(CONNECTION["conn-fields"]) | {"path_prefixes", "routes", "max_connections"} == set(READERS)


def test_the_form_and_the_page_name_every_kind_of_run_that_a_link_may_be_for() -> None:
    rows = Path(__file__).parents[2].joinpath("docs/airflow/connection.md").read_text().splitlines()
    [row] = [row for row in rows if row.startswith("| `job_url_template`")]
    for text in (CONNECTION["conn-fields"]["job_url_template"]["description"], row):
        for word in (*get_args(Kind), "{kind}", "{id}", "{connection_id}", "{pipeline_id}"):
            assert word in text


def test_airflow_loads_it_without_a_warning() -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager = ProvidersManager()
        assert manager.providers["airflow-provider-planasonix"].data["name"] == "Planasonix"
        widgets = manager.connection_form_widgets
        links = manager.extra_links_class_names
        hook = ProvidersManagerTaskRuntime().hooks["planasonix"]
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("Planasonix", "planasonix_conn_id")
    assert hook.connection_testable
    assert widgets["extra__planasonix__proxy"].is_sensitive
    assert not widgets["extra__planasonix__organization_id"].is_sensitive
    assert "airflow_provider_planasonix.links.PlanasonixJobLink" in links


def test_it_says_nothing_that_airflow_does_not_read() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    # The schema lets every other key pass without a word.
    assert set(INFO) <= set(schema["properties"])


@pytest.mark.parametrize("part", ["hooks", "operators", "sensors", "triggers"])
def test_no_module_of_a_folder_is_left_out(part: str) -> None:
    folder = files("airflow_provider_planasonix").joinpath(part)
    if not folder.is_dir():
        assert part not in INFO
        return
    named = {name for group in INFO[part] for name in group["python-modules"]}
    base = {"hooks": BaseHook, "operators": BaseOperator, "sensors": BaseSensorOperator, "triggers": BaseTrigger}[part]
    for file in folder.iterdir():
        if not file.name.endswith(".py"):
            continue
        name = f"airflow_provider_planasonix.{part}.{file.name.removesuffix('.py')}"
        members = vars(importlib.import_module(name)).values()
        theirs = [one for one in members if isinstance(one, type) and issubclass(one, base) and one.__module__ == name]
        # A module with nothing but the base of others is none of a user's.
        for_users = [one for one in theirs if not one.__doc__ or "Not for DAGs" not in one.__doc__]
        assert (name in named) == bool(for_users), name


@pytest.mark.parametrize("part", ["hooks", "operators", "sensors", "triggers"])
def test_the_named_modules_exist(part: str) -> None:
    for group in INFO[part]:
        for name in group["python-modules"]:
            importlib.import_module(name)


@pytest.mark.alone
def test_importing_it_costs_little() -> None:
    seconds: list[float] = []
    # The best of up to ten: the rest is what else this machine was doing.
    while len(seconds) < 10 and min(seconds, default=1.0) > 0.060:
        run = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
        took, dear = run.stdout.strip().splitlines()[-1].split(" ", 1)
        assert dear == "[]"
        seconds.append(float(took))
    assert min(seconds) <= 0.060, seconds
