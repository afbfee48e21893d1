"""What a run works on: the connection that a job or backfill loads, or the pipeline that a `run` runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from planasonix.watch.protocols import Kind


class Targeted(Protocol):
    """What a `Record` and a `RunHandle` say of their target."""

    @property
    def kind(self) -> Kind: ...
    @property
    def target_id(self) -> str: ...


def connection_of(what: Targeted) -> str | None:
    """The connection that it loads; None for the run of a pipeline, and where none is known."""
    return None if what.kind == "run" else what.target_id or None


def pipeline_of(what: Targeted) -> str | None:
    """The pipeline that it runs; None for a job or backfill, and where none is known."""
    return (what.target_id or None) if what.kind == "run" else None


def target_text(kind: str, target_id: str) -> str:
    """The target in words: `connection conn_1`, `pipeline pl_1`."""
    return f"{target_word(kind)} {target_id}"


def target_word(kind: str) -> str:
    """What a run of this kind works on."""
    return "pipeline" if kind == "run" else "connection"


def shown_target(run: object, kind: str) -> str | None:
    """The target that the API shows for a run of this kind; None where it shows none."""
    # A sync may name a pipeline as well, which is not what it loads.
    return getattr(run, f"{target_word(kind)}_id", None)


def with_target_id(data: Mapping[str, Any]) -> dict[str, Any]:
    """The stored data, where version 1 called the target `connection_id`."""
    if "target_id" in data or "connection_id" not in data:
        return dict(data)
    return {**data, "target_id": data["connection_id"], "version": 2}
