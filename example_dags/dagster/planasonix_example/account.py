"""The Planasonix account, and what it was when somebody last looked.

`PLANASONIX_API_KEY` and, for another address than the public one, `PLANASONIX_BASE_URL` are read when a run needs them.
`planasonix.json` holds connections and tables, so that definitions load without either; write it again with

    python -m planasonix_example.account
"""

import os
from pathlib import Path

import dagster as dg

from dagster_planasonix import PlanasonixWorkspace, write_planasonix_snapshot

SNAPSHOT = Path(__file__).with_name("planasonix.json")
CONNECTIONS = ["conn_shop_orders", "conn_support_tickets", "conn_billing_stripe"]

workspace = PlanasonixWorkspace(
    api_key=dg.EnvVar("PLANASONIX_API_KEY"),
    # The pages of jobs and of runs have addresses of your own: without them there are no links.
    job_url_template=os.environ.get("PLANASONIX_JOB_URL_TEMPLATE"),
    webserver_url=os.environ.get("DAGSTER_WEBSERVER_URL"),
)

if __name__ == "__main__":
    write_planasonix_snapshot(workspace, SNAPSHOT, CONNECTIONS)
