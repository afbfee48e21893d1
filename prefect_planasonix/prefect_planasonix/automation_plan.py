"""An automation that is not made yet, and what its builders need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from prefect.automations import Automation, AutomationCore


@dataclass(frozen=True)
class AutomationPlan:
    """An automation that is not made yet. `deployments` are those that it names, each with the argument's name."""

    name: str
    deployments: tuple[tuple[str, str | UUID], ...]
    build: Callable[[Sequence[UUID]], AutomationCore]

    def create(self) -> Automation:
        """Make the automation, or bring the one of this name up to date; returns it with its id.

        Raises `ConfigurationError` for a deployment that does not exist, and what Prefect's client raises.

        >>> from prefect_planasonix.automations import resume_on_event
        >>> resume_on_event().name
        'planasonix: resume when the job has ended'
        """
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            ids: list[UUID] = []
            for field, deployment in self.deployments:
                with _missing(field, deployment):
                    ids.append(_id_of(deployment) or client.read_deployment_by_name(str(deployment)).id)
            wanted = self.build(ids)
            found = client.read_automations_by_name(self.name)
            if found:
                client.update_automation(found[0].id, _update(wanted, enabled=found[0].enabled))
                return _made(wanted, found[0].id)
            return _made(wanted, client.create_automation(wanted))

    async def acreate(self) -> Automation:
        """As `create`."""
        from prefect.client.orchestration import get_client

        async with get_client() as client:
            ids: list[UUID] = []
            for field, deployment in self.deployments:
                with _missing(field, deployment):
                    ids.append(_id_of(deployment) or (await client.read_deployment_by_name(str(deployment))).id)
            wanted = self.build(ids)
            found = await client.read_automations_by_name(self.name)
            if found:
                await client.update_automation(found[0].id, _update(wanted, enabled=found[0].enabled))
                return _made(wanted, found[0].id)
            return _made(wanted, await client.create_automation(wanted))


def run_action(deployment_id: UUID, parameters: dict[str, Any]) -> Any:
    from prefect.events.actions import RunDeployment

    return RunDeployment(source="selected", deployment_id=deployment_id, parameters=parameters, job_variables=None)


def _update(wanted: AutomationCore, *, enabled: bool) -> AutomationCore:
    """Whole, because Prefect sends only what was set by hand; one that a user has paused stays so."""
    from prefect.automations import AutomationCore

    return AutomationCore(**{**wanted.model_dump(exclude={"owner_resource"}), "enabled": enabled})


def _made(wanted: AutomationCore, automation_id: UUID) -> Automation:
    from prefect.automations import Automation

    return Automation(**{**dict(wanted), "id": automation_id})


def plan_name_of(what: str, deployment: str | UUID | None) -> str:
    return f"planasonix: {what}" + ("" if deployment is None else f" ({deployment})")


def named_deployments(**deployments: str | UUID | None) -> tuple[tuple[str, str | UUID], ...]:
    for field, deployment in deployments.items():
        if deployment is not None and _id_of(deployment) is None and "/" not in str(deployment):
            raise ConfigurationError(
                f"{field} must be 'flow/deployment' or a deployment's id, got {deployment!r}.", field=field
            )
    return tuple((field, each) for field, each in deployments.items() if each is not None)


def _id_of(deployment: str | UUID) -> UUID | None:
    try:
        return UUID(str(deployment))
    except ValueError:
        return None


class _missing:
    """Around the look for a deployment by its name."""

    def __init__(self, field: str, deployment: str | UUID) -> None:
        self._field = field
        self._deployment = deployment

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from prefect.exceptions import ObjectNotFound

        if isinstance(error, ObjectNotFound):
            raise ConfigurationError(
                f"There is no deployment {str(self._deployment)!r}.",
                field=self._field,
                hint="Deploy the flow first; `prefect deployment ls` shows the names.",
            ) from error
