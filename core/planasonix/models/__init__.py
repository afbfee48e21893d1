"""The API's own words as pydantic models, which is imported only once a model is asked for."""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.models.account import Organization as Organization
    from planasonix.models.backfills import Backfill as Backfill
    from planasonix.models.base import WireModel as WireModel
    from planasonix.models.bodies import BackfillRequestBody as BackfillRequestBody
    from planasonix.models.bodies import PipelineRunRequestBody as PipelineRunRequestBody
    from planasonix.models.bodies import RequestBody as RequestBody
    from planasonix.models.bodies import SyncRequestBody as SyncRequestBody
    from planasonix.models.bodies import WebhookCreateBody as WebhookCreateBody
    from planasonix.models.bodies import WebhookTestBody as WebhookTestBody
    from planasonix.models.bodies import WebhookUpdateBody as WebhookUpdateBody
    from planasonix.models.bodies import parse_error_to_configuration_error as parse_error_to_configuration_error
    from planasonix.models.connections import Catalog as Catalog
    from planasonix.models.connections import Column as Column
    from planasonix.models.connections import Connection as Connection
    from planasonix.models.connections import ConnectionColumns as ConnectionColumns
    from planasonix.models.connections import ConnectionFiles as ConnectionFiles
    from planasonix.models.connections import ConnectionPreview as ConnectionPreview
    from planasonix.models.connections import ConnectionTables as ConnectionTables
    from planasonix.models.connections import ConnectionTest as ConnectionTest
    from planasonix.models.connections import DatabricksCatalogs as DatabricksCatalogs
    from planasonix.models.connections import DeletedConnection as DeletedConnection
    from planasonix.models.connections import FileObject as FileObject
    from planasonix.models.connections import QueryResult as QueryResult
    from planasonix.models.connections import QueryStats as QueryStats
    from planasonix.models.connections import Table as Table
    from planasonix.models.enums import BackfillStatus as BackfillStatus
    from planasonix.models.enums import DeliveryStatus as DeliveryStatus
    from planasonix.models.enums import JobStatus as JobStatus
    from planasonix.models.enums import JobType as JobType
    from planasonix.models.enums import OpenEnum as OpenEnum
    from planasonix.models.enums import PipelineRunStatus as PipelineRunStatus
    from planasonix.models.enums import PipelineStatus as PipelineStatus
    from planasonix.models.enums import Priority as Priority
    from planasonix.models.enums import TableType as TableType
    from planasonix.models.enums import WebhookEvent as WebhookEvent
    from planasonix.models.envelopes import Rows as Rows
    from planasonix.models.envelopes import read_json as read_json
    from planasonix.models.envelopes import unwrap_one as unwrap_one
    from planasonix.models.envelopes import unwrap_page as unwrap_page
    from planasonix.models.jobs import Job as Job
    from planasonix.models.jobs import JobMetrics as JobMetrics
    from planasonix.models.jobs import RunError as RunError
    from planasonix.models.pipelines import Pipeline as Pipeline
    from planasonix.models.pipelines import PipelineEdge as PipelineEdge
    from planasonix.models.pipelines import PipelineNode as PipelineNode
    from planasonix.models.resources import Resource as Resource
    from planasonix.models.results import JobResults as JobResults
    from planasonix.models.results import ResultWarning as ResultWarning
    from planasonix.models.results import TableResult as TableResult
    from planasonix.models.runs import LogLine as LogLine
    from planasonix.models.runs import PipelineRun as PipelineRun
    from planasonix.models.runs import RunLogs as RunLogs
    from planasonix.models.runs import RunMetrics as RunMetrics
    from planasonix.models.runs import RunNode as RunNode
    from planasonix.models.runs import RunNodes as RunNodes
    from planasonix.models.runs import RunTrigger as RunTrigger
    from planasonix.models.status import TERMINAL_PHASES as TERMINAL_PHASES
    from planasonix.models.status import Phase as Phase
    from planasonix.models.status import is_known_status as is_known_status
    from planasonix.models.status import phase_of as phase_of
    from planasonix.models.webhooks import Delivery as Delivery
    from planasonix.models.webhooks import DeliveryReceipt as DeliveryReceipt
    from planasonix.models.webhooks import Webhook as Webhook
    from planasonix.models.webhooks import WebhookSecret as WebhookSecret

_NAMES_BY_MODULE = {
    "account": ("Organization",),
    "backfills": ("Backfill",),
    "base": ("WireModel",),
    "bodies": (
        "BackfillRequestBody",
        "PipelineRunRequestBody",
        "RequestBody",
        "SyncRequestBody",
        "WebhookCreateBody",
        "WebhookTestBody",
        "WebhookUpdateBody",
        "parse_error_to_configuration_error",
    ),
    "connections": (
        "Catalog",
        "Column",
        "Connection",
        "ConnectionColumns",
        "ConnectionFiles",
        "ConnectionPreview",
        "ConnectionTables",
        "ConnectionTest",
        "DatabricksCatalogs",
        "DeletedConnection",
        "FileObject",
        "QueryResult",
        "QueryStats",
        "Table",
    ),
    "enums": (
        "BackfillStatus",
        "DeliveryStatus",
        "JobStatus",
        "JobType",
        "OpenEnum",
        "PipelineRunStatus",
        "PipelineStatus",
        "Priority",
        "TableType",
        "WebhookEvent",
    ),
    "envelopes": ("Rows", "read_json", "unwrap_one", "unwrap_page"),
    "jobs": ("Job", "JobMetrics", "RunError"),
    "pipelines": ("Pipeline", "PipelineEdge", "PipelineNode"),
    "resources": ("Resource",),
    "results": ("JobResults", "ResultWarning", "TableResult"),
    "runs": ("LogLine", "PipelineRun", "RunLogs", "RunMetrics", "RunNode", "RunNodes", "RunTrigger"),
    "status": ("TERMINAL_PHASES", "Phase", "is_known_status", "phase_of"),
    "webhooks": ("Delivery", "DeliveryReceipt", "Webhook", "WebhookSecret"),
}

__getattr__ = lazy_names(__name__, _NAMES_BY_MODULE)


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for names in _NAMES_BY_MODULE.values() for name in names)})
