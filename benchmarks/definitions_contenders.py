"""Definitions of many connections: ours from stored state, the same written by hand, and Fivetran's from its own state.

Imports Dagster, so it runs in an environment that has it; it prints seconds as JSON for `dagster_definitions`.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from dagster_planasonix.asset_defs import assets_of_state, op_body
from dagster_planasonix.checks import STATUS, WARNINGS
from dagster_planasonix.state import ConnectionState, TableState, WorkspaceState, state_from_json
from dagster_planasonix.workspace import PlanasonixWorkspace

TABLES = 100
ROUNDS = 3
WORKSPACE = PlanasonixWorkspace(api_key="none")
Contender: TypeAlias = Callable[[], object]


# An op's function, which never runs. Dagster would take a docstring for the assets' description.
def body(context):
    yield from ()


def state_of(connections: int, tables: int = TABLES) -> WorkspaceState:
    """A workspace of that size."""
    return WorkspaceState(
        datetime.now(UTC),
        "https://api.example",
        tuple(
            ConnectionState(
                f"conn_{number:05}",
                f"source_{number:05}",
                "postgres",
                tables=tuple(TableState("public", f"table_{table:04}") for table in range(tables)),
            )
            for number in range(connections)
        ),
    )


def ours(state_text: str) -> list[dg.AssetsDefinition]:
    """From the text of a stored state, which is read each time."""
    return assets_of_state(state_from_json(state_text), op_body(WORKSPACE, "wait", None))


def by_hand(connections: int, tables: int = TABLES) -> list[dg.AssetsDefinition]:
    """The same specs, checks and ops, with Dagster's own names only."""
    made = []
    for number in range(connections):
        identifier, name = f"conn_{number:05}", f"source_{number:05}"
        specs, checks = [], []
        for table in range(tables):
            key = dg.AssetKey([name, "public", f"table_{table:04}"])
            qualified = f"public.table_{table:04}"
            specs.append(
                dg.AssetSpec(
                    key,
                    metadata={
                        "planasonix/connection_id": identifier,
                        "planasonix/table": qualified,
                        "planasonix/connection_name": name,
                        "dagster/table_name": qualified,
                        "dagster/storage_kind": "postgres",
                        "planasonix/connection_type": "postgres",
                    },
                    kinds={"planasonix", "postgres"},
                    group_name=name,
                )
            )
            checks.append(dg.AssetCheckSpec(STATUS, asset=key, description="Whether it was loaded."))
            checks.append(dg.AssetCheckSpec(WARNINGS, asset=key, description="Whether there were warnings."))
        decorate = dg.multi_asset(
            name=identifier,
            specs=specs,
            check_specs=checks,
            can_subset=True,
            pool=f"planasonix_{identifier}",
            op_tags={"planasonix/connection_id": identifier},
        )
        made.append(decorate(body))
    return made


def fivetran(connections: int, folder: Path, tables: int = TABLES) -> Contender:
    """dagster-fivetran's component on its own stored state of that size: no checks, no pools."""
    from dagster_fivetran import FivetranAccountComponent, FivetranWorkspace
    from dagster_fivetran.translator import (
        FivetranConnector,
        FivetranDestination,
        FivetranSchema,
        FivetranSchemaConfig,
        FivetranTable,
        FivetranWorkspaceData,
    )

    listed = {
        f"table_{number}": FivetranTable(enabled=True, name_in_destination=f"table_{number:04}", columns=None)
        for number in range(tables)
    }
    connectors, configs = {}, {}
    for number in range(connections):
        identifier = f"c{number:05}"
        connectors[identifier] = FivetranConnector(
            id=identifier,
            name=f"source_{number:05}",
            service="postgres",
            group_id="g",
            setup_state="connected",
            sync_state="scheduled",
            paused=False,
            succeeded_at=None,
            failed_at=None,
        )
        schema = FivetranSchema(enabled=True, name_in_destination=f"s{number:05}", tables=listed)
        configs[identifier] = FivetranSchemaConfig(schemas={"public": schema})
    data = FivetranWorkspaceData(
        connectors_by_id=connectors,
        destinations_by_id={"g": FivetranDestination(id="g", database="warehouse", service="snowflake")},
        schema_configs_by_connector_id=configs,
    )
    path = folder / "fivetran_state"
    path.write_text(dg.serialize_value(data))
    component = FivetranAccountComponent(workspace=FivetranWorkspace(account_id="a", api_key="k", api_secret="s"))
    context: Any = None
    return lambda: component.build_defs_from_state(context, path)


def best_seconds(contenders: dict[str, Contender], rounds: int = ROUNDS) -> dict[str, float]:
    """Each one's quickest round; in turn, so that what else the machine does meets all of them."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, contender in contenders.items():
            gc.collect()
            began = time.process_time()
            kept = contender()
            best[name] = min(best[name], time.process_time() - began)
            del kept
    return best


def main() -> int:
    """`python -m benchmarks.definitions_contenders 500`: JSON of seconds for that many connections."""
    connections = int(sys.argv[1])
    text = state_of(connections).to_json()
    with tempfile.TemporaryDirectory() as folder:
        contenders: dict[str, Contender] = {
            "by hand": lambda: by_hand(connections),
            "ours": lambda: ours(text),
            "state": lambda: state_from_json(text),
            "fivetran": fivetran(connections, Path(folder)),
        }
        print(json.dumps(best_seconds(contenders)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
