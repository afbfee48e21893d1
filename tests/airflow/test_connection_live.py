"""The connection in Airflow's own web server: its form and its test button."""

from typing import Any

import pytest

from scripts.airflow_local import LocalAirflow
from scripts.local.sandbox import SandboxProcess

pytestmark = pytest.mark.live


def test_the_form(airflow: LocalAirflow) -> None:
    forms = {form["connection_type"]: form for form in airflow.rest.get("/ui/connections/hook_meta")}
    form = forms["planasonix"]
    assert form["hook_name"] == "Planasonix"
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["host"]["placeholder"] == "https://api.planasonix.com"
    assert form["standard_fields"]["login"]["hidden"] is True
    fields: dict[str, Any] = form["extra_fields"]
    assert fields["proxy"]["schema"]["format"] == "password"
    assert fields["idempotency"]["schema"]["enum"] == ["honoured", "unproven", "ignored"]
    assert all(field["schema"]["title"] and field["description"] for field in fields.values())


def test_the_test_button(airflow: LocalAirflow, sandbox_process: SandboxProcess) -> None:
    connection = {
        "connection_id": "tested",
        "conn_type": "planasonix",
        "host": sandbox_process.url,
        "password": sandbox_process.api_key,
    }
    answer = airflow.rest.post("/connections/test", connection)
    assert answer["status"] is True
    assert "accepted the key" in answer["message"]
    answer = airflow.rest.post("/connections/test", connection | {"password": "plnx_live_wrong"})
    assert answer["status"] is False
    assert "does not accept the API key" in answer["message"]
    assert "plnx_live_wrong" not in answer["message"]


def test_a_connection_of_the_database_shows_no_key(airflow: LocalAirflow, sandbox_process: SandboxProcess) -> None:
    key = sandbox_process.api_key
    airflow.add_connection("stored", conn_type="planasonix", host=sandbox_process.url, password=key)
    assert key not in str(airflow.rest.get("/connections/stored"))
    assert airflow.files_with(key) == []


def test_a_task_uses_the_hook(airflow: LocalAirflow, dag, sandbox_process: SandboxProcess) -> None:
    dag_id = dag(
        """
        @task
        def name():
            with PlanasonixHook().get_client() as client:
                return client.connections.get("conn_shop_orders").name
        name()
        """,
        imports="from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook",
    )
    run = airflow.trigger(dag_id)
    assert airflow.wait_run(run) == "success"
    assert airflow.database.xcoms(run, "name")["return_value"]
    assert len(sandbox_process.control("GET", "journal?operation=connections.get")["entries"]) == 1
    assert sandbox_process.api_key not in airflow.task_log(run, "name")
