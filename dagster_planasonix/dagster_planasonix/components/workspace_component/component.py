"""The component: which connections, how their assets look, how their ops run. State-backed, so `dg` needs no API."""

# Dagster reads this module's annotations as objects: no postponed evaluation here.

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dagster as dg
from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig
from pydantic import BaseModel

from dagster_planasonix._compat import TranslationFn, TranslationFnResolver
from dagster_planasonix.asset_defs import (
    Execution,
    assets_of_state,
    check_execution,
    check_options,
    run_step,
    taking_config,
)
from dagster_planasonix.components.workspace_component.connections_model import ConnectionsModel, resolve_connections
from dagster_planasonix.components.workspace_component.op_options import OpOptions, resolve_op
from dagster_planasonix.components.workspace_component.scaffolder import PlanasonixWorkspaceScaffolder
from dagster_planasonix.components.workspace_component.sensor_options import SensorOptions, resolve_sensor
from dagster_planasonix.components.workspace_component.workspace_model import (
    WorkspaceModel,
    quoting_nothing,
    resolve_workspace,
)
from dagster_planasonix.fetch import MAX_WORKERS, fetch_state
from dagster_planasonix.run_config import PlanasonixRunConfig
from dagster_planasonix.selection import ConnectionSelection, selected
from dagster_planasonix.state import REFRESH, WorkspaceState, read_state, write_state
from dagster_planasonix.translator import DagsterPlanasonixTranslator, PlanasonixTableProps
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.errors import ConfigurationError

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Workspace = PlanasonixWorkspace
else:
    # Dagster would hold the fields of a pydantic class to its rules for YAML, and those know no bounds. It is the
    # resolver below that reads them.
    Workspace = object


@dg.scaffold_with(PlanasonixWorkspaceScaffolder)
@dataclass(kw_only=True)
class PlanasonixWorkspaceComponent(dg.StateBackedComponent, dg.Resolvable):
    """The tables of chosen Planasonix connections as assets.

    What the API says of them is fetched by `dg utils refresh-defs-state`, and by every `dg` command unless
    `defs_state.refresh_if_dev` is false; definitions are built from that state. Subclass it to override
    `get_asset_spec`, `get_check_specs` or `execute`.

        type: dagster_planasonix.PlanasonixWorkspaceComponent
        attributes:
          workspace:
            api_key: "{{ env.PLANASONIX_API_KEY }}"
          connections:
            by_id: [conn_shop_orders]
          translation:
            group_name: raw
          op:
            retry_policy: {max_retries: 2, delay: 60}
    """

    connections: Annotated[
        ConnectionSelection | None,
        dg.Resolver(
            resolve_connections,
            model_field_type=ConnectionsModel | Literal["all"],
            description="Which connections: by_id, by_name, by_type, or the word all.",
            examples=[{"by_id": ["conn_shop_orders"]}],
        ),
    ]
    workspace: Annotated[
        Workspace,
        dg.Resolver(
            resolve_workspace,
            model_field_type=WorkspaceModel,
            description="The fields of PlanasonixWorkspace. {{ env.X }} is read when a run needs it, not before.",
            examples=[{"api_key": "{{ env.PLANASONIX_API_KEY }}"}],
        ),
    ] = field(default_factory=lambda: PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY")))
    translation: (
        Annotated[
            TranslationFn[PlanasonixTableProps],
            TranslationFnResolver[PlanasonixTableProps](lambda props: {"props": props}),
        ]
        | None
    ) = None
    op: Annotated[
        OpOptions,
        dg.Resolver(resolve_op, model_field_type=OpOptions, description="What every op gets: pool, tags, policies."),
    ] = field(default_factory=OpOptions)
    polling_sensor: Annotated[
        SensorOptions | None,
        dg.Resolver(
            resolve_sensor,
            model_field_type=SensorOptions | bool | None,
            description="A sensor for what Dagster did not start, and for what `execution: detached` did.",
            examples=[{"default_status": "RUNNING"}],
        ),
    ] = None
    execution: Execution = "wait"
    sync_options: Mapping[str, Any] = field(default_factory=dict)
    freshness_from_schedule: bool = False
    include_columns: bool = False
    max_workers: int = MAX_WORKERS
    warn_when_state_older_than_hours: float = 168.0
    defs_state: ResolvedDefsStateConfig = field(default_factory=DefsStateConfigArgs.local_filesystem)

    def __post_init__(self) -> None:
        check_execution(self.execution)
        check_options(self.execution, self.sync_options)
        if self.execution == "detached" and self.polling_sensor is None:
            raise ConfigurationError(
                "execution is detached, and there is no polling_sensor: nothing would ever be materialized.",
                field="polling_sensor",
                hint="Write `polling_sensor: {default_status: RUNNING}`.",
            )
        for name in ("max_workers", "warn_when_state_older_than_hours"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be above zero, got {getattr(self, name)!r}.", field=name)

    @classmethod
    def get_model_cls(cls) -> type[BaseModel] | None:
        """What YAML is held to."""
        return quoting_nothing(cls.model())

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Keyed by what is fetched: two components of one workspace that choose differently keep a state each."""
        return DefsStateConfig.from_args(self.defs_state, default_key=self._state_key())

    def write_state_to_path(self, state_path: Path) -> None:
        """Ask the API. In a thread of its own: Dagster refreshes several components on one event loop."""
        state = fetch_state(
            self.workspace, self.connections, include_columns=self.include_columns, max_workers=self.max_workers
        )
        write_state(state_path, state)

    def build_defs_from_state(self, context: dg.ComponentLoadContext, state_path: Path | None) -> dg.Definitions:
        """Raises `ConfigurationError` where there is no state, or one of another version: no assets at all would look
        like success.
        """
        if state_path is None:
            raise ConfigurationError(
                f"There is no state of {self.defs_state_config.key}: what the API says of its connections was never "
                "fetched, or is not where this runs.",
                field="defs_state",
                hint=REFRESH,
            )
        state = read_state(state_path)
        self._tell_age(state)
        assets = assets_of_state(
            self._chosen_of(state),
            taking_config(self.execute),
            translator=_Overridable(self),
            freshness_from_schedule=self.freshness_from_schedule,
            **self.op.knobs(),
        )
        sensors = [] if self.polling_sensor is None else [self.polling_sensor.sensor(self.workspace, assets)]
        return dg.Definitions(assets=assets, sensors=sensors)

    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        """The spec of a table's asset: the translator's, changed by `translation:`."""
        spec = DagsterPlanasonixTranslator().get_asset_spec(props)
        return spec if self.translation is None else self.translation(spec, props)

    def get_check_specs(self, props: PlanasonixTableProps) -> Iterable[dg.AssetCheckSpec]:
        """The checks of a table's asset."""
        return DagsterPlanasonixTranslator().get_check_specs(props)

    def execute(self, context: dg.AssetExecutionContext, config: PlanasonixRunConfig | None = None) -> Iterator[Any]:
        """What each op does: load what was selected, or the window of the run config, and wait for it."""
        yield from run_step(context, self.workspace, self.execution, self.sync_options, config)

    def _state_key(self) -> str:
        names = ("base_url", "organization_id", "environment", "api_key")
        settings = {name: getattr(self.workspace, name) for name in names}
        # The value of the key would tie the state to a secret that is rotated one day: its variable is named instead.
        shown = {name: value.env_var_name for name, value in settings.items() if isinstance(value, dg.EnvVar)}
        shown |= {name: value for name, value in settings.items() if name not in shown and name != "api_key"}
        what = repr((sorted(shown.items(), key=str), self.connections, self.include_columns))
        return f"{type(self).__name__}[{hashlib.sha256(what.encode()).hexdigest()[:12]}]"

    def _chosen_of(self, state: WorkspaceState) -> WorkspaceState:
        """A state under a key that the user gave may be of what `connections:` said before."""
        missing = [] if self.connections is None else self.connections.missing_from(state.connections)
        if missing:
            held = ", ".join(each.label for each in state.connections) or "no connection"
            raise ConfigurationError(
                f"The state of {self.defs_state_config.key} holds {held}, and no connection with {', '.join(missing)}.",
                field="connections",
                hint=REFRESH,
            )
        return state._replace(connections=tuple(selected(state.connections, self.connections)))

    def _tell_age(self, state: WorkspaceState) -> None:
        hours = state.age_hours()
        if hours > self.warn_when_state_older_than_hours:
            logger.warning(
                "The state of %s is %.0f hours old: connections and tables may have changed since. %s",
                self.defs_state_config.key,
                hours,
                REFRESH,
            )


class _Overridable(DagsterPlanasonixTranslator):
    """The translator of a component: its own methods, which a subclass may override."""

    def __init__(self, component: PlanasonixWorkspaceComponent) -> None:
        self._component = component

    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        return self._component.get_asset_spec(props)

    def get_check_specs(self, props: PlanasonixTableProps) -> Iterable[dg.AssetCheckSpec]:
        return self._component.get_check_specs(props)
