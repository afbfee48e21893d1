"""Automations that deferred runs need, as code: made once for a deployment, for example where it is deployed.

- `resume_on_event` resumes a suspended flow run as soon as an event tells of the end of its job;
- `cleanup_on_cancel` cancels the jobs of a flow run that was cancelled while nobody ran it: Prefect calls no hook then;
- `zombie` marks a flow run as crashed whose process gives no sign of life any more;
- `alert` notifies of a job that did not end well.

Each returns a plan. `plan.create()` and `await plan.acreate()` make the automation, or bring the one of the same name
up to date, and return Prefect's own `Automation`. It belongs to Prefect then, and can be paused or deleted in its UI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import ConfigurationError
from prefect_planasonix.events import ENDED_EVENTS, EVENT_PREFIX

if TYPE_CHECKING:
    from prefect.automations import Automation, AutomationCore

ENDS = frozenset(ENDED_EVENTS)
"""The events of the end of a job, backfill or pipeline run: `prefect_planasonix.events`."""
BAD_ENDS = ENDS - {f"{EVENT_PREFIX}succeeded"}

FLOW_RUN_OF_EVENT = {"__prefect_kind": "jinja", "template": "{{ event.resource.id }}"}
"""The flow run that an event is about. A plain text with braces is not rendered the same in all versions of Prefect."""
FLOW_RUN_OF_TRIGGER = {"__prefect_kind": "jinja", "template": "{{ labels['prefect.resource.id'] }}"}
"""The same for a trigger that waits for events that do not come: there is no event to ask."""
_RELATED = "{{ (event.related | selectattr('role', 'equalto', 'flow-run') | first).id }}"
RELATED_FLOW_RUN = {"__prefect_kind": "jinja", "template": _RELATED}
"""The flow run to which an event is related: the one that the action of Prefect, too, would take."""


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


def resume_on_event(
    deployment: str | UUID | None = None, *, cleanup_deployment: str | UUID | None = None, name: str | None = None
) -> AutomationPlan:
    """Resume a suspended flow run once an event tells that its job, backfill or pipeline run has ended.

    :param deployment: flow runs of this deployment only, as `"flow/deployment"` or its id. None: of all.
    :param cleanup_deployment: a deployment of the flow `cleanup` of this package, which then looks at the run and
        resumes it only if this package has suspended it. None: Prefect's own action resumes it, at once and unasked.
    :param name: of the automation; two of one name are one.

    **Prefect's action asks nobody who has suspended a run.** A flow that suspends itself (`suspend_flow_run` as a gate
    for an approval) while one of its jobs ends, or just after, is resumed by it without the approval: give
    `cleanup_deployment` for such flows. It costs a run of that flow, some seconds, for each end of a job.

    The event names the flow run among its related resources (`prefect.flow-run.<id>`, role `flow-run`), and, for a
    `deployment`, that one too (role `deployment`). The resumed flow reads the job itself: what an event says decides
    nothing. A run that is not suspended is left alone; the event of a job that ended before its flow run was suspended
    is not needed, since the flow looks once more.
    """
    from prefect.automations import AutomationCore, EventTrigger
    from prefect.events.actions import ResumeFlowRun

    def build(ids: Sequence[UUID]) -> AutomationCore:
        by_cleanup = ids[-1:] if cleanup_deployment is not None else []
        watched = ids[: len(ids) - len(by_cleanup)]
        related: Any = [{"prefect.resource.id": "prefect.flow-run.*"}]
        related += [{"prefect.resource.id": f"prefect.deployment.{each}"} for each in watched]
        news = {"flow_run_id": RELATED_FLOW_RUN, "has_news": True}
        return AutomationCore(
            name=plan_name,
            description="Resumes flow runs that a Planasonix job has suspended, as soon as an event tells of its end.",
            trigger=EventTrigger(expect=set(ENDS), match_related=related, threshold=1),
            actions=[_run(each, news) for each in by_cleanup] or [ResumeFlowRun()],
        )

    plan_name = name or _name("resume when the job has ended", deployment)
    return AutomationPlan(plan_name, _named(deployment=deployment, cleanup_deployment=cleanup_deployment), build)


def cleanup_on_cancel(
    deployment: str | UUID | None, cleanup_deployment: str | UUID, *, name: str | None = None
) -> AutomationPlan:
    """Run `cleanup_deployment` for each cancelled flow run of `deployment` (None: of all deployments).

    :param cleanup_deployment: a deployment of the flow `cleanup` of this package, as `"flow/deployment"` or its id.

    Prefect runs no hook when a suspended flow run is cancelled, so that nothing else would cancel its job at once. For
    runs that were cancelled while they ran there is nothing left to do, and the cleanup says so.
    """
    from prefect.automations import AutomationCore, EventTrigger

    def build(ids: Sequence[UUID]) -> AutomationCore:
        *watched, cleanup_id = ids
        related: Any = [{"prefect.resource.id": f"prefect.deployment.{each}"} for each in watched]
        return AutomationCore(
            name=plan_name,
            description="Cancels the Planasonix jobs that a cancelled flow run has left running.",
            trigger=EventTrigger(expect={"prefect.flow-run.Cancelled"}, match_related=related, threshold=1),
            actions=[_run(cleanup_id, {"flow_run_id": FLOW_RUN_OF_EVENT})],
        )

    plan_name = name or _name("clean up after a cancelled run", deployment)
    return AutomationPlan(plan_name, _named(deployment=deployment, cleanup_deployment=cleanup_deployment), build)


def zombie(
    deployment: str | UUID | None,
    cleanup_deployment: str | UUID,
    *,
    silent_seconds: float = 600.0,
    name: str | None = None,
) -> AutomationPlan:
    """Mark a flow run as crashed that says it is running, and whose process has given no sign for `silent_seconds`.

    :param cleanup_deployment: a deployment of the flow `cleanup` of this package: it looks at the run before it marks
        it. A suspended run gives no sign either, and is not dead.
    :param silent_seconds: at least three times `PREFECT_FLOWS_HEARTBEAT_FREQUENCY` (180 s where it is not set).

    Without it, a run whose machine was lost stays Running for ever. Its job is left alone: a retry of the run finds it,
    and `reconcile` cancels it where none comes.
    """
    from prefect.automations import AutomationCore, EventTrigger, Posture

    if silent_seconds < 10:
        raise ConfigurationError(
            f"silent_seconds must be 10 or more, got {silent_seconds!r}.",
            field="silent_seconds",
            hint="Give three times PREFECT_FLOWS_HEARTBEAT_FREQUENCY or more.",
        )

    def build(ids: Sequence[UUID]) -> AutomationCore:
        *watched, cleanup_id = ids
        related: Any = [{"prefect.resource.id": f"prefect.deployment.{each}"} for each in watched]
        parameters = {"flow_run_id": FLOW_RUN_OF_TRIGGER, "is_silent": True}
        return AutomationCore(
            name=plan_name,
            description="Marks flow runs as crashed whose process gives no sign of life any more.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                # Any word of the run is a sign: also that it was suspended, or has ended.
                expect={"prefect.flow-run.*"},
                match={"prefect.resource.id": "prefect.flow-run.*"},  # pyright: ignore[reportArgumentType]
                match_related=related,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=silent_seconds),
            ),
            actions=[_run(cleanup_id, parameters)],
        )

    plan_name = name or _name("find dead runs", deployment)
    return AutomationPlan(plan_name, _named(deployment=deployment, cleanup_deployment=cleanup_deployment), build)


def alert(
    notification_block_id: UUID | str, deployment: str | UUID | None = None, *, name: str | None = None
) -> AutomationPlan:
    """Send a notification for each job, backfill or pipeline run that failed or was cancelled.

    :param notification_block_id: the id of a saved block of Prefect that can notify (Slack, e-mail, and so on): the
        text of what its `save()` returns.
    :param deployment: only what flow runs of this deployment started. None: all.
    """
    from prefect.automations import AutomationCore, EventTrigger
    from prefect.events.actions import SendNotification

    try:
        block_id = UUID(str(notification_block_id))
    except ValueError:
        raise ConfigurationError(
            f"notification_block_id must be the id of a saved block, got {notification_block_id!r}.",
            field="notification_block_id",
            hint="Give what the block's save() returns.",
        ) from None

    def build(ids: Sequence[UUID]) -> AutomationCore:
        related: Any = [{"prefect.resource.id": f"prefect.deployment.{each}"} for each in ids]
        return AutomationCore(
            name=plan_name,
            description="Tells of Planasonix jobs that did not end well.",
            trigger=EventTrigger(expect=set(BAD_ENDS), match_related=related, threshold=1),
            actions=[SendNotification(block_document_id=block_id, subject=_SUBJECT, body=_BODY)],
        )

    plan_name = name or _name("alert", deployment)
    return AutomationPlan(plan_name, _named(deployment=deployment), build)


_SUBJECT = "{{ event.event }}: {{ event.resource.name or event.resource.id }}"
_BODY = """{{ event.event }} at {{ event.occurred }}
{% for key, value in event.payload.items() if value is string or value is number %}{{ key }}: {{ value }}
{% endfor %}"""
"""Whatever the event carries that is one word or line: events of other senders have other payloads."""


def _run(deployment_id: UUID, parameters: dict[str, Any]) -> Any:
    from prefect.events.actions import RunDeployment

    return RunDeployment(source="selected", deployment_id=deployment_id, parameters=parameters, job_variables=None)


def _update(wanted: AutomationCore, *, enabled: bool) -> AutomationCore:
    """Whole, because Prefect sends only what was set by hand; one that a user has paused stays so."""
    from prefect.automations import AutomationCore

    return AutomationCore(**{**wanted.model_dump(exclude={"owner_resource"}), "enabled": enabled})


def _made(wanted: AutomationCore, automation_id: UUID) -> Automation:
    from prefect.automations import Automation

    return Automation(**{**dict(wanted), "id": automation_id})


def _name(what: str, deployment: str | UUID | None) -> str:
    return f"planasonix: {what}" + ("" if deployment is None else f" ({deployment})")


def _named(**deployments: str | UUID | None) -> tuple[tuple[str, str | UUID], ...]:
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
