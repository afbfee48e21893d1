"""What imports cost: in a DAG file that imports `airflow.sdk` anyway, and beside other clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure

# Ours and the others' in one environment.
AIRFLOW = Path(__file__).resolve().parents[1] / ".venvs" / "bench-airflow" / "bin" / "python"
RUNS = 15

OPERATORS = "import airflow_provider_planasonix.operators.sync, airflow_provider_planasonix.operators.backfill"
RIVALS = {
    "Airbyte's (6.2.0)": "import airflow.providers.airbyte.operators.airbyte",
    "dbt Cloud's (4.11.1)": "import airflow.providers.dbt.cloud.operators.dbt",
    "Fivetran's (async, 2.4.0)": "import fivetran_provider_async.operators",
    "the vendor's (planasonix-airflow 1.0.4)": "import planasonix_provider.operators.sync",
}
SDK = "from airflow.sdk import DAG, BaseOperator"
# The same for Dagster's.
DAGSTER = AIRFLOW.parents[2] / "bench-dagster" / "bin" / "python"
DAGSTER_RIVALS = {"dagster-fivetran's (0.29.27)": "import dagster_fivetran"}
# And for Prefect's.
PREFECT = AIRFLOW.parents[2] / "bench-prefect" / "bin" / "python"
PREFECT_RIVALS = {"prefect-databricks's (0.4.2)": "import prefect_databricks"}
TWO_NAMES = "from prefect import flow, task"
CLIENTS = {
    "planasonix": "from planasonix import Planasonix; Planasonix('nokey')",
    "openai": "from openai import OpenAI; OpenAI(api_key='nokey')",
    "stripe": "from stripe import StripeClient; StripeClient('sk_test_nokey')",
}


def imports() -> Iterator[Figure]:
    if AIRFLOW.exists():
        took = milliseconds(str(AIRFLOW), OPERATORS, before=SDK)
        yield Figure("import of the operators on top of `airflow.sdk`", f"{took:.0f} ms", "≤ 60 ms", "≤ 25 ms")
        for whose, program in RIVALS.items():
            yield Figure(f"the same: {whose}", f"{milliseconds(str(AIRFLOW), program, before=SDK):.0f} ms")
    if DAGSTER.exists():
        took = milliseconds(str(DAGSTER), "import dagster_planasonix", before="import dagster")
        yield Figure("import of `dagster_planasonix` on top of `dagster`", f"{took:.0f} ms", "≤ 60 ms", "≤ 25 ms")
        for whose, program in DAGSTER_RIVALS.items():
            yield Figure(f"the same: {whose}", f"{milliseconds(str(DAGSTER), program, before='import dagster'):.0f} ms")
    if PREFECT.exists():
        took = milliseconds(str(PREFECT), "import prefect_planasonix", before=TWO_NAMES)
        yield Figure(f"import of `prefect_planasonix` on top of `{TWO_NAMES}`", f"{took:.0f} ms", "≤ 60 ms", "≤ 25 ms")
        for whose, program in PREFECT_RIVALS.items():
            yield Figure(f"the same: {whose}", f"{milliseconds(str(PREFECT), program, before=TWO_NAMES):.0f} ms")
    took = milliseconds(sys.executable, "import planasonix, planasonix.runs")
    yield Figure("`import planasonix, planasonix.runs`", f"{took:.1f} ms")
    for name, program in CLIENTS.items():
        yield Figure(f"import and make a client: {name}", f"{milliseconds(sys.executable, program):.0f} ms")


def milliseconds(python: str, program: str, *, before: str = "") -> float:
    """What the statements take in a fresh interpreter: the best of several, since noise only ever adds."""
    code = f"{before}\nimport time\nbegan = time.perf_counter()\n{program}\nprint((time.perf_counter() - began) * 1e3)"
    runs = (subprocess.run([python, "-c", code], capture_output=True, text=True, check=True) for _ in range(RUNS))
    return min(float(run.stdout.split()[-1]) for run in runs)
