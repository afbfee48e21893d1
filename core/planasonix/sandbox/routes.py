"""All routes of the emulated API."""

from __future__ import annotations

from . import routes_account, routes_connections, routes_jobs, routes_pipelines, routes_runs, routes_webhooks

ROUTES = [
    *routes_runs.ROUTES,
    *routes_jobs.ROUTES,
    *routes_webhooks.ROUTES,
    *routes_connections.ROUTES,
    *routes_pipelines.ROUTES,
    *routes_account.ROUTES,
]
