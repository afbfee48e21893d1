"""Automations on the ends of jobs, as code: made once for a deployment, for example where it is deployed.

- `resume_on_event` resumes a suspended flow run as soon as an event tells of the end of its job;
- `cleanup_on_cancel` cancels the jobs of a flow run that was cancelled while nobody ran it: Prefect calls no hook then;
- `zombie` marks a flow run as crashed whose process gives no sign of life any more;
- `run_on_event` runs a deployment for each job that has ended, for example when a connection has new rows;
- `alert` notifies of a job that did not end well.

Each returns a plan. `plan.create()` and `await plan.acreate()` make the automation, or bring the one of the same name
up to date, and return Prefect's own `Automation`. It belongs to Prefect then, and can be paused or deleted in its UI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import ConfigurationError
from prefect_planasonix.automation_plan import AutomationPlan, named_deployments, plan_name_of, run_action
from prefect_planasonix.chain import EVENT_PARAMETER
from prefect_planasonix.events import ENDED_EVENTS, EVENT_PREFIX

if TYPE_CHECKING:
    from prefect.automations import AutomationCore

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
_EVENT = "{{ dict(event.payload, event_id=event.id | string, type=event.event) | tojson }}"
WHOLE_EVENT = {"__prefect_kind": "json", "value": {"__prefect_kind": "jinja", "template": _EVENT}}
"""What an event tells, with its id and name, as a JSON object."""


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
            actions=[run_action(each, news) for each in by_cleanup] or [ResumeFlowRun()],
        )

    plan_name = name or plan_name_of("resume when the job has ended", deployment)
    return AutomationPlan(
        plan_name, named_deployments(deployment=deployment, cleanup_deployment=cleanup_deployment), build
    )


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
            actions=[run_action(cleanup_id, {"flow_run_id": FLOW_RUN_OF_EVENT})],
        )

    plan_name = name or plan_name_of("clean up after a cancelled run", deployment)
    return AutomationPlan(
        plan_name, named_deployments(deployment=deployment, cleanup_deployment=cleanup_deployment), build
    )


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
            actions=[run_action(cleanup_id, parameters)],
        )

    plan_name = name or plan_name_of("find dead runs", deployment)
    return AutomationPlan(
        plan_name, named_deployments(deployment=deployment, cleanup_deployment=cleanup_deployment), build
    )


def run_on_event(
    deployment: str | UUID,
    *,
    connection_id: str | None = None,
    statuses: Sequence[str] = ("succeeded",),
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> AutomationPlan:
    """Run `deployment` for each job, backfill or pipeline run that has ended, with the event's data.

    :param deployment: what is run, as `"flow/deployment"` or its id. Its flow has a parameter `planasonix_event`, a
        dictionary or None: what the event tells (`kind`, `id`, `connection_id`, `status`, `rows_loaded`,
        `finished_at`, …).
    :param connection_id: for the jobs of this connection only. None: of all.
    :param statuses: of `succeeded`, `failed` and `cancelled`.
    :param parameters: further parameters of the flow.

    A flow run that is started so carries its place in the chain: what it starts is told to be one deeper, and
    `FeedbackLoopError` stops a loop of event, sync and event, after three runs in a row or what
    PLANASONIX_MAX_EVENT_DEPTH says. Hand `planasonix_event` on to deployments that the flow runs itself.

    The relay tells the ends of all jobs, whoever started them; without it these are the ones that flow runs wait for.
    A job for which two flow runs wait has an event for each of them.
    """
    from prefect.automations import AutomationCore, EventTrigger

    words = {f"{EVENT_PREFIX}{status}" for status in statuses}
    if not words or not words <= ENDS:
        raise ConfigurationError(
            f"statuses must be some of succeeded, failed and cancelled, got {statuses!r}.", field="statuses"
        )
    if parameters is not None and EVENT_PARAMETER in parameters:
        raise ConfigurationError(
            f"parameters must leave out {EVENT_PARAMETER!r}: the event goes there.", field="parameters"
        )

    def build(ids: Sequence[UUID]) -> AutomationCore:
        related: Any = [{"prefect.resource.id": f"planasonix.connection.{connection_id}"}] if connection_id else []
        return AutomationCore(
            name=plan_name,
            description="Runs a deployment when a Planasonix job has ended.",
            trigger=EventTrigger(expect=words, match_related=related, threshold=1),
            actions=[run_action(ids[0], {**(parameters or {}), EVENT_PARAMETER: WHOLE_EVENT})],
        )

    of = "any connection" if connection_id is None else connection_id
    plan_name = name or plan_name_of(f"run on {', '.join(statuses)} of {of}", deployment)
    return AutomationPlan(plan_name, named_deployments(deployment=deployment), build)


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

    plan_name = name or plan_name_of("alert", deployment)
    return AutomationPlan(plan_name, named_deployments(deployment=deployment), build)


_SUBJECT = "{{ event.event }}: {{ event.resource.name or event.resource.id }}"
_BODY = """{{ event.event }} at {{ event.occurred }}
{% for key, value in event.payload.items() if value is string or value is number %}{{ key }}: {{ value }}
{% endfor %}"""
"""Whatever the event carries that is one word or line: events of other senders have other payloads."""
