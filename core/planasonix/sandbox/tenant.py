"""The seeded tenant: the connections every sandbox starts with.

| id | type | schema | what is special |
|---|---|---|---|
| conn_shop_orders | postgres | public | the everyday source: five tables, two views |
| conn_shop_inventory | mysql | inventory | |
| conn_crm_accounts | salesforce | salesforce | |
| conn_support_tickets | zendesk | zendesk | |
| conn_billing_stripe | stripe | stripe | |
| conn_analytics_wh | snowflake | analytics | the warehouse |
| conn_marketing_lake | s3 | raw | the bucket, with files |
| conn_finance_ledger | oracle | gl | |
| conn_hr_people | workday | hr | |
| conn_ads_google | google_ads | google_ads | |
| conn_ads_meta | meta_ads | meta_ads | |
| conn_iot_telemetry | kafka | telemetry | millions of rows |
| conn_erp_sap | sap_hana | erp | slow: a sync takes four minutes |
| conn_legacy_mainframe | db2 | core | every job fails with an error object |
| conn_partner_sftp | sftp | partner | succeeds with warnings |
| conn_product_mongo | mongodb | product | loses the table product.sessions: succeeded, but absent from the results |
| conn_lakehouse_dbx | databricks | main | catalogs to discover |
| conn_bq_exports | bigquery | exports | |
| conn_hubspot_marketing | hubspot | hubspot | |
| conn_jira_delivery | jira | jira | |
| conn_01jq8k2m3n4p5q6r7s8t9u0v1 | postgres | public | the id of the documented examples |

Ordinary syncs take two to six virtual seconds.
"""

from __future__ import annotations

from typing import Any

from . import seeding
from .connections import Connection

MAINFRAME_ERROR = {
    "code": "source_authentication_failed",
    "message": "SQL30082N  Security processing failed with reason 24 (USERNAME AND/OR PASSWORD INVALID).",
    "details": [{"field": "credentialId", "issue": "rejected_by_source"}],
}
SFTP_WARNINGS = (
    {
        "code": "column_type_widened",
        "message": "Column discount_pct coerced from NUMERIC(5,2) to NUMERIC(8,4)",
    },
    {"code": "rows_skipped", "message": "12 rows of partner.price_list have no key and were not loaded"},
)


def _seed(id: str, name: str, type: str, schema: str, tables: str, views: str = "", **more: Any) -> dict[str, Any]:
    sizes = {}
    for spec in tables.split():
        table, _, rows = spec.partition(":")
        sizes[table] = int(rows)
    return {
        "id": id,
        "name": name,
        "type": type,
        "schema": schema,
        "tables": sizes,
        "views": views.split(),
        **more,
    }


TENANT: tuple[dict[str, Any], ...] = (
    _seed(
        "conn_shop_orders",
        "shop_orders",
        "postgres",
        "public",
        "orders:48000 order_items:131000 customers:2100 refunds:900 payments:47500",
        "open_orders daily_revenue",
        config={"host": "db.shop.internal", "port": 5432, "database": "shop", "sslMode": "require"},
    ),
    _seed(
        "conn_shop_inventory",
        "shop_inventory",
        "mysql",
        "inventory",
        "products:5200 stock_levels:64000 warehouses:40",
        config={"host": "mysql.shop.internal", "port": 3306, "database": "inventory"},
    ),
    _seed(
        "conn_crm_accounts",
        "crm_accounts",
        "salesforce",
        "salesforce",
        "account:3100 contact:9800 opportunity:2700 lead:6400",
        config={"instance": "acme.my.salesforce.com", "apiVersion": "60.0"},
    ),
    _seed(
        "conn_support_tickets",
        "support_tickets",
        "zendesk",
        "zendesk",
        "tickets:7300 ticket_comments:31000 users:1900",
        config={"subdomain": "acme"},
    ),
    _seed(
        "conn_billing_stripe",
        "billing_stripe",
        "stripe",
        "stripe",
        "charges:22000 invoices:11000 subscriptions:4200 refunds:600",
        config={"accountId": "acct_1acme"},
    ),
    _seed(
        "conn_analytics_wh",
        "prod_analytics_wh",
        "snowflake",
        "analytics",
        "fct_orders:48000 fct_sessions:410000 dim_dates:365",
        "dim_customers revenue_by_region",
        config={
            "account": "acme.us-east-1",
            "warehouse": "ETL_WH",
            "database": "ANALYTICS",
            "schema": "PUBLIC",
        },
    ),
    _seed(
        "conn_marketing_lake",
        "marketing_s3_lake",
        "s3",
        "raw",
        "events:890000 campaigns:320",
        config={"bucket": "acme-marketing-lake", "region": "eu-central-1", "prefix": "raw/"},
    ),
    _seed(
        "conn_finance_ledger",
        "finance_ledger",
        "oracle",
        "gl",
        "journal_entries:73000 accounts:850 cost_centers:120",
        "trial_balance",
        config={"host": "ora.finance.internal", "port": 1521, "serviceName": "GLPROD"},
    ),
    _seed(
        "conn_hr_people",
        "hr_people",
        "workday",
        "hr",
        "workers:1400 positions:1500",
        config={"tenant": "acme"},
    ),
    _seed(
        "conn_ads_google",
        "ads_google",
        "google_ads",
        "google_ads",
        "campaign_stats:18000 ad_groups:2600 keywords:41000",
        config={"customerId": "123-456-7890"},
    ),
    _seed(
        "conn_ads_meta",
        "ads_meta",
        "meta_ads",
        "meta_ads",
        "ad_insights:15000 ads:1100",
        config={"adAccountId": "act_998877"},
    ),
    _seed(
        "conn_iot_telemetry",
        "iot_telemetry",
        "kafka",
        "telemetry",
        "readings:5400000 devices:8800",
        config={"bootstrapServers": "kafka-1.internal:9092", "topic": "telemetry"},
    ),
    _seed(
        "conn_erp_sap",
        "erp_sap",
        "sap_hana",
        "erp",
        "bkpf:120000 bseg:640000 mara:27000",
        config={"host": "hana.erp.internal", "port": 30015},
        habits={"duration_seconds": 240.0, "queue_seconds": 4.0},
    ),
    _seed(
        "conn_legacy_mainframe",
        "legacy_mainframe",
        "db2",
        "core",
        "policies:52000 claims:31000",
        config={"host": "zos.core.internal", "port": 50000, "database": "COREDB"},
        habits={"outcome": "failed", "error": MAINFRAME_ERROR, "loaded_tables": ()},
    ),
    _seed(
        "conn_partner_sftp",
        "partner_sftp",
        "sftp",
        "partner",
        "price_list:14000 shipments:8300",
        config={"host": "sftp.partner.example", "port": 22, "path": "/outgoing"},
        habits={"warnings": SFTP_WARNINGS},
    ),
    _seed(
        "conn_product_mongo",
        "product_mongo",
        "mongodb",
        "product",
        "users:26000 sessions:230000 feature_flags:75",
        config={"host": "mongo.product.internal", "port": 27017, "database": "product"},
        habits={"lost_tables": ("product.sessions",)},
    ),
    _seed(
        "conn_lakehouse_dbx",
        "lakehouse_databricks",
        "databricks",
        "main",
        "bronze_events:310000 silver_events:300000",
        "gold_daily_active",
        config={"host": "dbc-1a2b3c4d.cloud.databricks.com", "httpPath": "/sql/1.0/warehouses/abc123"},
    ),
    _seed(
        "conn_bq_exports",
        "bq_exports",
        "bigquery",
        "exports",
        "ga4_events:760000 search_console:22000",
        config={"project": "acme-exports", "dataset": "exports"},
    ),
    _seed(
        "conn_hubspot_marketing",
        "hubspot_marketing",
        "hubspot",
        "hubspot",
        "contacts:17000 companies:2900 deals:1300",
        config={"portalId": 4455667},
    ),
    _seed(
        "conn_jira_delivery",
        "jira_delivery",
        "jira",
        "jira",
        "issues:9100 sprints:80 worklogs:12500",
        config={"site": "acme.atlassian.net"},
    ),
    _seed(
        "conn_01jq8k2m3n4p5q6r7s8t9u0v1",
        "docs_example",
        "postgres",
        "public",
        "orders:48000 order_items:131000",
        "dim_customers",
        config={"host": "db.internal.acme.com", "port": 5432, "database": "staging", "sslMode": "require"},
    ),
)


def seeded_connections(seed: int, now: float) -> dict[str, Connection]:
    """The tenant by connection id, created in the weeks before `now`."""
    connections = {}
    for spec in TENANT:
        values = dict(spec)
        values["config"] = dict(values["config"])
        values["habits"] = {
            "duration_seconds": float(seeding.between(2, 6, seed, "duration", spec["id"])),
            **values.get("habits", {}),
        }
        created = now - 86_400.0 * seeding.between(30, 400, seed, "created", spec["id"])
        connection = Connection(
            **values,
            credential_id=f"cred_{spec['name']}",
            created=created,
            updated=created + 86_400.0 * seeding.between(0, 29, seed, "updated", spec["id"]),
        )
        connections[connection.id] = connection
    return connections
