"""What Airflow loads as a plugin: the receiver, on an API server of an Airflow that has an inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.push import options
from airflow_provider_planasonix.push.receiver import URL_PREFIX, MountedReceiver

if TYPE_CHECKING:
    from airflow.plugins_manager import AirflowPlugin
else:
    from airflow_provider_planasonix._compat import plugin_base

    AirflowPlugin = plugin_base()


class PlanasonixPlugin(AirflowPlugin):
    """Mounts the receiver at `/planasonix` once `[planasonix] inbox_url` is set."""

    name = "planasonix"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow's is a list of the class
        """Read by API servers only. Not of the class: every process of Airflow loads it, and an option may be the
        output of a command.
        """
        if options.inbox_url() is None:
            return []
        return [{"app": MountedReceiver(), "url_prefix": URL_PREFIX, "name": "Planasonix webhooks"}]
