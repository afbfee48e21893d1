"""The `polling_sensor:` of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import dagster as dg

from dagster_planasonix.workspace import PlanasonixWorkspace


class SensorOptions(dg.Model):
    """Of `build_planasonix_polling_sensor`. Give it a name of its own where a code location has two components."""

    name: str = "planasonix_polling_sensor"
    minimum_interval_seconds: int = 30
    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"
    data_version_from_checksum: bool = False

    def sensor(self, workspace: PlanasonixWorkspace, assets: Sequence[dg.AssetsDefinition]) -> dg.SensorDefinition:
        """The sensor that watches these assets."""
        from dagster_planasonix.sensors.polling import build_planasonix_polling_sensor

        return build_planasonix_polling_sensor(
            workspace,
            assets,
            name=self.name,
            minimum_interval_seconds=self.minimum_interval_seconds,
            default_status=dg.DefaultSensorStatus[self.default_status],
            data_version_from_checksum=self.data_version_from_checksum,
        )


def resolve_sensor(context: dg.ResolutionContext, model: Any) -> SensorOptions | None:
    """`true` is the sensor with its defaults, `false` none."""
    if isinstance(model, bool) or model is None:
        return SensorOptions() if model else None
    return SensorOptions(**context.resolve_value(model.model_dump(exclude_unset=True)))
