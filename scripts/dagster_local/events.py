"""What Dagster tells of runs and assets, as plain values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VALUES = ("text", "url", "path", "floatValue", "boolValue", "mdStr", "timestamp", "runId", "schema")


@dataclass(frozen=True)
class Event:
    """One entry of a run's log. `kind` is Dagster's event type (`STEP_START`, …), None for a plain log line."""

    kind: str | None
    message: str
    level: str
    timestamp: float
    step_key: str | None
    asset_key: str | None
    partition: str | None
    metadata: dict[str, Any]
    error: str | None


@dataclass(frozen=True)
class AssetEvent:
    """A materialization or an observation. `run_id` is empty if no run made it; metadata values are plain."""

    asset_key: str
    run_id: str
    partition: str | None
    timestamp: float
    description: str | None
    metadata: dict[str, Any]
    tags: dict[str, str]


@dataclass(frozen=True)
class CheckEvent:
    """One evaluation of a check. `passed` is None for one that was planned and never evaluated."""

    run_id: str
    status: str
    passed: bool | None
    severity: str | None
    description: str | None
    metadata: dict[str, Any]


def metadata_of(entries: list[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return metadata by label: texts and URLs as texts, numbers as numbers, JSON decoded, others as given."""
    return {entry["label"]: _value(entry) for entry in entries or []}


def event_of(found: Mapping[str, Any]) -> Event:
    failure = found.get("failureMetadata") or {}
    entries = [*(found.get("metadataEntries") or []), *(failure.get("metadataEntries") or [])]
    return Event(
        found.get("eventType"),
        found.get("message", ""),
        found.get("level", ""),
        float(found["timestamp"]) / 1000 if found.get("timestamp") else 0.0,
        found.get("stepKey"),
        _key(found.get("assetKey")),
        found.get("partition"),
        metadata_of(entries),
        error_text(found.get("error")),
    )


def asset_event_of(found: Mapping[str, Any]) -> AssetEvent:
    return AssetEvent(
        _key(found["assetKey"]) or "",
        found["runId"],
        found["partition"],
        float(found["timestamp"]) / 1000,
        found["description"],
        metadata_of(found["metadataEntries"]),
        {tag["key"]: tag["value"] for tag in found["tags"]},
    )


def check_event_of(found: Mapping[str, Any]) -> CheckEvent:
    evaluation = found["evaluation"] or {}
    return CheckEvent(
        found["runId"],
        found["status"],
        evaluation.get("success"),
        evaluation.get("severity"),
        evaluation.get("description"),
        metadata_of(evaluation.get("metadataEntries")),
    )


def _value(entry: Mapping[str, Any]) -> Any:
    if "intRepr" in entry:
        return int(entry["intRepr"])
    if "jsonString" in entry:
        return json.loads(entry["jsonString"])
    return next((entry[name] for name in _VALUES if name in entry), None)


def _key(found: Mapping[str, Any] | None) -> str | None:
    return "/".join(found["path"]) if found else None


def error_text(found: Mapping[str, Any] | None) -> str | None:
    """Return a `PythonError` with its causes as text."""
    if not found:
        return None
    texts = [found, *(found.get("causes") or [])]
    return "\n".join(f"{text['message']}\n{''.join(text.get('stack') or [])}" for text in texts)
