"""Doing in a thread what a triggerer's first watcher would do on the event loop of all triggers: import."""

from __future__ import annotations

from importlib import import_module

_FIRST_WATCHER = (
    "airflow_provider_planasonix.push.confirm",
    "airflow_provider_planasonix.push.listening",
    # By these Airflow looks connections up on an event loop.
    "airflow.providers.common.compat.connection",
    "asgiref.sync",
    "planasonix.webhooks.causes",
    "planasonix.webhooks.inbox.box",
    "planasonix.webhooks.listener",
    "planasonix.webhooks.loops",
)
"""By name, because importing this module is to cost nothing."""


def prepare_to_watch() -> None:
    """Load what a watcher and its first event need. Does nothing the second time; blocks, for a thread."""
    for name in _FIRST_WATCHER:
        import_module(name)
    from airflow_provider_planasonix.triggers.patience import prepare_process

    prepare_process()
