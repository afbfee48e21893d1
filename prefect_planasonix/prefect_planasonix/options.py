"""How one run is waited for and what becomes of it when its flow ends early: plain data, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from planasonix.runs import IfRunning, Policy

OnShutdown = Literal["cancel", "leave"]
OnPaused = Literal["fail", "skip"]


@dataclass(frozen=True)
class RunOptions:
    """The options of job blocks, tasks and flows, under the same names wherever they are taken.

    `timeout_seconds`: the job's deadline, from its creation; past it the job is cancelled. `poll_interval_seconds`:
    a fixed pause between looks; None adapts it to the job's age. `if_running`: what to do while another job keeps the
    connection busy: `wait` until it has ended, `attach` to it, `skip`, or `fail`. `cancel_on_cancellation`: whether
    the job is cancelled when the flow run is given up. `on_shutdown`: the same for a SIGTERM that nobody's cancel
    caused, as when `serve` or a worker is stopped for a deploy. `on_paused`: whether a paused connection fails the
    call or skips it. `run_key`: a word of your own that makes two otherwise identical wishes of one flow run different
    whatever their order. `artifacts`, `events`, `assets`: what is shown in Prefect beside the mandatory ledger.
    `asset_key_template`: the key of each table's asset, with the placeholders `{connection_id}`, `{path}` (schema and
    table), `{schema}` and `{table}`; `source_key_template`: the same for the asset that each table comes from.

    Raises `ConfigurationError`, which names the field.

    >>> RunOptions(timeout_seconds=3600).if_running
    'wait'
    """

    timeout_seconds: float = 86_400.0
    poll_interval_seconds: float | None = None
    if_running: IfRunning = "wait"
    cancel_on_cancellation: bool = True
    on_shutdown: OnShutdown = "cancel"
    on_paused: OnPaused = "fail"
    run_key: str | None = None
    artifacts: bool = True
    events: bool = True
    assets: bool = True
    asset_key_template: str = "planasonix://{connection_id}/{path}"
    source_key_template: str | None = None

    def __post_init__(self) -> None:
        from planasonix.runs import IfRunning  # here, because importing the package is to stay cheap

        _positive("timeout_seconds", self.timeout_seconds)
        if self.poll_interval_seconds is not None:
            _positive("poll_interval_seconds", self.poll_interval_seconds)
        for name, words in (
            ("if_running", get_args(IfRunning)),
            ("on_shutdown", get_args(OnShutdown)),
            ("on_paused", get_args(OnPaused)),
        ):
            if getattr(self, name) not in words:
                raise ConfigurationError(
                    f"{name} must be one of {', '.join(words)}, got {getattr(self, name)!r}.", field=name
                )
        for name in ("cancel_on_cancellation", "artifacts", "events", "assets"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be true or false, got {getattr(self, name)!r}.", field=name)
        if self.run_key is not None and (not isinstance(self.run_key, str) or not self.run_key.strip()):
            raise ConfigurationError(f"run_key must be a non-empty text, got {self.run_key!r}.", field="run_key")
        from prefect_planasonix.assets import check_template

        for name in ("asset_key_template", "source_key_template"):
            template = getattr(self, name)
            if template is not None:
                check_template(name, template)

    @classmethod
    def of(cls, source: object) -> RunOptions:
        """The options that an object has as attributes of the same names: a job block, for example."""
        return cls(**{each.name: getattr(source, each.name) for each in fields(cls)})

    def policy(self, idempotency: Any) -> Policy:
        """How the run engine behaves with these options. `idempotency` is the client's, for the operation."""
        from planasonix.runs import Policy

        return Policy(
            idempotency=idempotency,
            if_running=self.if_running,
            timeout_seconds=self.timeout_seconds,
            cancel_older=self.cancel_on_cancellation,
            # Code that was edited between two tries is no mistake; its job goes on.
            on_edit="keep",
            # What nobody would cancel while the flow lives, reconcile leaves alone afterwards.
            leave_running=not self.cancel_on_cancellation,
        )


def _positive(name: str, value: object) -> None:
    # `not value > 0` also refuses NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} must be a number of seconds above zero, got {value!r}.", field=name)
