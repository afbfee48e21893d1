"""The seeded pipelines, and what a node of one is.

| id | name | what is special |
|---|---|---|
| pl_daily_revenue | daily_revenue | the everyday pipeline: shop orders, a join, the warehouse |
| pl_crm_accounts | crm_accounts | |
| pl_ads_attribution | ads_attribution | two sources |
| pl_ledger_close | ledger_close | slow: a run takes four minutes |
| pl_mainframe_claims | mainframe_claims | every run fails in its source, with an error object |
| pl_telemetry_rollup | telemetry_rollup | a draft |
| pl_01hqxyz, pl_02hqabc | daily_revenue_sync, crm_to_warehouse | the ids of the documented examples |

Ordinary runs take two to six virtual seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from . import seeding
from .tenant import MAINFRAME_ERROR

_SHOP, _WAREHOUSE = "conn_shop_orders", "conn_analytics_wh"


@dataclass(frozen=True)
class Node:
    """A node of the graph. `connection_id` is None for one that only transforms."""

    id: str
    type: str
    connection_id: str | None = None
    table: str | None = None

    @property
    def is_source(self) -> bool:
        return self.type.startswith("source.")

    @property
    def is_sink(self) -> bool:
        return self.type.startswith("destination.")

    @property
    def config(self) -> dict[str, Any]:
        return {"connectionId": self.connection_id, "table": self.table} if self.connection_id else {}


@dataclass
class Pipeline:
    """One pipeline; its nodes run one after the other. `rows` is the most that a run reads in each source."""

    id: str
    name: str
    nodes: tuple[Node, ...]
    rows: int = 10_000
    status: str = "active"
    project_id: str = "prj_01"
    folder_id: str = "fld_02"
    created: float = 0.0
    updated: float = 0.0
    habits: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def edges(self) -> list[dict[str, str]]:
        """Every source leads into what follows the sources; from there on it is a chain."""
        sources = [node for node in self.nodes if node.is_source]
        rest = [node for node in self.nodes if not node.is_source]
        pairs = [(source, rest[0]) for source in sources] if rest else []
        pairs += list(pairwise(rest))
        return [{"id": f"e{n}", "source": a.id, "target": b.id} for n, (a, b) in enumerate(pairs, 1)]


def _source(type: str, connection_id: str, table: str, id: str = "n_source") -> Node:
    return Node(id, f"source.{type}", connection_id, table)


def _sink(connection_id: str, table: str) -> Node:
    return Node("n_sink", "destination.snowflake", connection_id, table)


_PIPELINES = (
    Pipeline(
        "pl_daily_revenue",
        "daily_revenue",
        (
            _source("postgres", _SHOP, "public.orders"),
            Node("n_join", "transform.join"),
            _sink(_WAREHOUSE, "ANALYTICS.FCT_ORDERS"),
        ),
        rows=48_000,
    ),
    Pipeline(
        "pl_crm_accounts",
        "crm_accounts",
        (_source("salesforce", "conn_crm_accounts", "account"), _sink(_WAREHOUSE, "STG.CRM_ACCOUNTS")),
        rows=3_100,
    ),
    Pipeline(
        "pl_ads_attribution",
        "ads_attribution",
        (
            _source("google_ads", "conn_ads_google", "campaign_stats", "n_google"),
            _source("meta_ads", "conn_ads_meta", "ad_insights", "n_meta"),
            Node("n_union", "transform.union"),
            _sink(_WAREHOUSE, "MART.ATTRIBUTION"),
        ),
        rows=15_000,
        folder_id="fld_03",
    ),
    Pipeline(
        "pl_ledger_close",
        "ledger_close",
        (_source("oracle", "conn_finance_ledger", "gl.journal_entries"), _sink(_WAREHOUSE, "FIN.LEDGER")),
        rows=73_000,
        project_id="prj_02",
        folder_id="fld_04",
        habits={"duration_seconds": 240.0, "queue_seconds": 4.0},
    ),
    Pipeline(
        "pl_mainframe_claims",
        "mainframe_claims",
        (_source("db2", "conn_legacy_mainframe", "core.claims"), _sink(_WAREHOUSE, "STG.CLAIMS")),
        rows=31_000,
        project_id="prj_02",
        folder_id="fld_04",
        habits={"outcome": "failed", "error": MAINFRAME_ERROR, "failed_node": "n_source"},
    ),
    Pipeline(
        "pl_telemetry_rollup",
        "telemetry_rollup",
        (
            _source("kafka", "conn_iot_telemetry", "telemetry.readings"),
            Node("n_rollup", "transform.aggregate"),
            _sink(_WAREHOUSE, "IOT.ROLLUP"),
        ),
        rows=5_400_000,
        status="draft",
    ),
    Pipeline(
        "pl_01hqxyz",
        "daily_revenue_sync",
        (_source("postgres", _SHOP, "public.orders"), _sink(_WAREHOUSE, "STG.ORDERS")),
        rows=48_000,
    ),
    Pipeline(
        "pl_02hqabc",
        "crm_to_warehouse",
        (_source("postgres", _SHOP, "public.contacts"), _sink(_WAREHOUSE, "STG.CRM_CONTACTS")),
        rows=2_450_000,
    ),
)


def seeded_pipelines(seed: int, now: float) -> dict[str, Pipeline]:
    """The pipelines by id, created in the weeks before `now`."""
    pipelines: dict[str, Pipeline] = {}
    for each in _PIPELINES:
        habits = {"duration_seconds": float(seeding.between(2, 6, seed, "duration", each.id)), **each.habits}
        created = now - 86_400.0 * seeding.between(30, 400, seed, "created", each.id)
        updated = created + 86_400.0 * seeding.between(0, 29, seed, "updated", each.id)
        pipelines[each.id] = Pipeline(**{**vars(each), "habits": habits, "created": created, "updated": updated})
    return pipelines
