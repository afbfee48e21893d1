"""A key that is rotated in Airflow's metadata database while a real task is deferred."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from planasonix.sandbox import Sandbox

pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(400)]

ORDERS = "conn_shop_orders"
OLD, NEW = "plnx_live_canary_before_51c7", "plnx_live_canary_after_51c7"
SYNC = "PlanasonixSyncOperator(task_id='sync', connection_id='{0}', planasonix_conn_id='{1}', {2})"
IMPORTS = "from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator"


@pytest.fixture
def tenant() -> Iterator[Any]:
    with Sandbox(api_keys=(OLD, NEW)).serve() as running:
        yield running


def test_a_deferred_wait_outlives_the_rotation_of_its_key(airflow: Any, dag: Any, tenant: Any) -> None:
    tenant.script(ORDERS, "stuck")
    airflow.add_connection("rotating", conn_type="planasonix", host=tenant.url, password=OLD)
    waits = "deferrable=True, poll_interval_seconds=0.5"
    run = airflow.trigger(dag(SYNC.format(ORDERS, "rotating", waits), imports=IMPORTS))
    airflow.wait_task(run, "sync", "deferred", timeout_seconds=90)
    airflow.wait_until(lambda: tenant.calls("jobs.get") > 0, "a look at the job", 60)

    # As it is done: the new key into Airflow first, then the old one ends.
    airflow.rest.patch(f"/connections/{quote('rotating')}?update_mask=password", connection(tenant.url, NEW))
    # What only a tenant's administrator can do, the sandbox has no door for.
    tenant.sandbox._keys.pop(OLD)
    looked = accepted(tenant)
    airflow.wait_until(lambda: accepted(tenant) > looked, "a look with the new key", 60)
    assert airflow.database.task(run, "sync").state == "deferred"

    tenant.finish(tenant.jobs(ORDERS)[0]["id"])
    assert airflow.wait_run(run, timeout_seconds=90) == "success"
    row = airflow.database.task(run, "sync")
    assert (row.state, row.try_number) == ("success", 1)
    assert tenant.jobs_started() == 1
    refused = [entry for entry in tenant.journal if entry.status == 401]
    assert refused, "the old key was never refused: this showed nothing"
    # The new one was found at once, not after one refusal for each tick.
    assert len(refused) <= 3
    assert airflow.files_with(OLD) == airflow.files_with(NEW) == []


def connection(host: str, key: str) -> dict[str, Any]:
    return {"connection_id": "rotating", "conn_type": "planasonix", "host": host, "password": key}


def accepted(tenant: Any) -> int:
    return sum(entry.operation == "jobs.get" and entry.status == 200 for entry in tenant.journal)
