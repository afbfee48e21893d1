"""Reconcile from a DAG: what a nightly task calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from airflow_provider_planasonix._compat import AirflowFailException, BaseHook, api_base_url, mask_secret
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from planasonix.errors import ConfigurationError

_LOG = logging.getLogger(__name__)


def reconcile_airflow(
    *,
    apply: bool = False,
    planasonix_conn_id: str = PlanasonixHook.default_conn_name,
    airflow_conn_id: str | None = None,
    since_hours: float = 48.0,
    dag_ids: Sequence[str] = (),
    operators: Sequence[str] = (),
    grace_seconds: float = 60.0,
) -> dict[str, Any]:
    """Look for runs whose task has ended while they live on; with `apply`, cancel them.

    Call it in a task, once for each Planasonix connection in use. Returns `planasonix.runs.Reconciliation.to_dict()`
    without the settled entries.

    :param airflow_conn_id: an Airflow connection (type `http`) with host, login and password of a user who may read
        task instances. Left out, URL and credentials come from the environment, as for the command line; without
        `PLANASONIX_AIRFLOW_URL` the URL is Airflow's own `[api] base_url`.
    :param dag_ids: look at these DAGs only; at all that the user may read when left out.
    :param operators: class names of your own subclasses of this package's operators.
    :raises AirflowFailException: something needs a human; the text says what.
    :raises ConfigurationError: it is not known where Airflow's API server is, or it refuses the credentials.
    """
    from airflow_provider_planasonix.reconcile import AirflowSource
    from planasonix.runs import Finding, reconcile_ledger

    def tell(finding: Finding) -> None:
        if finding.kind not in ("settled", "nothing_started"):
            _LOG.info("%s: %s", finding.kind, finding.sentence)

    rest = _rest_of_environment() if airflow_conn_id is None else _rest_of(airflow_conn_id)
    source = AirflowSource(rest, dag_ids=dag_ids, operators=operators, since_hours=since_hours)
    try:
        with PlanasonixHook(planasonix_conn_id).get_client() as client:
            found = reconcile_ledger(client, source, apply=apply, grace_seconds=grace_seconds, on_finding=tell)
    finally:
        source.close()
    if found.for_a_human:
        raise AirflowFailException(found.report())
    data = found.to_dict()
    data["findings"] = [finding for finding in data["findings"] if finding["kind"] != "settled"]
    return data


def _rest_of_environment() -> Any:
    from airflow_provider_planasonix.reconcile import rest_from_environment

    url = os.environ.get("PLANASONIX_AIRFLOW_URL")
    if not url:
        # A plain `airflow standalone` has none, and behind a proxy it may be no more than a path.
        url = api_base_url()
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                "Where Airflow's API server is, is not known.",
                field="PLANASONIX_AIRFLOW_URL",
                hint="Set PLANASONIX_AIRFLOW_URL in the workers' environment, `[api] base_url`, or airflow_conn_id.",
            )
    return rest_from_environment(url)


def _rest_of(conn_id: str) -> Any:
    from airflow_provider_planasonix.reconcile_rest import AirflowRest

    connection = BaseHook.get_connection(conn_id)
    if connection.password:
        mask_secret(connection.password)
    host = connection.host or ""
    url = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    if connection.port:
        url = f"{url.rstrip('/')}:{connection.port}"
    return AirflowRest(url, username=connection.login or None, password=connection.password or None)
