"""From a 2xx reply to what the façade returns."""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast

from planasonix import models
from planasonix.client.routes import checked_id
from planasonix.engine import Answer, Page, Reply
from planasonix.errors import ConfigurationError, InvalidResponseError, request_id_of
from planasonix.models import WireModel

ModelT = TypeVar("ModelT", bound=WireModel)


def read_json(reply: Reply) -> Any:
    """The decoded body. A body that is no JSON counts as damaged on the way: the call may be tried again."""
    try:
        return models.read_json(reply.body, content_type=reply.headers.get("content-type"))
    except InvalidResponseError as error:
        # Whatever it is, a page of a proxy included, it is not the answer: that one is lost.
        error.retryable = True
        raise error.with_attempts((), request_id=request_id_of(reply.headers)) from None


def read_log(reply: Reply) -> Any:
    """The decoded body of a log as an object: a text gives its lines, an address stands alone (facts §1.4)."""
    content_type = reply.headers.get("content-type") or ""
    if content_type.lower().startswith("text/plain"):
        text: Any = reply.body.decode("utf-8", errors="replace")
    else:
        text = read_json(reply)
    if not isinstance(text, str):
        return text
    if text.strip().startswith(("https://", "http://")) and len(text.split()) == 1:
        return {"url": text.strip()}
    return {"lines": text.splitlines()}


def read_nothing(reply: Reply) -> None:
    """For answers whose status says it all."""


def read_document(reply: Reply) -> dict[str, Any] | str:
    """A JSON document as a dictionary, any other as its text."""
    text = reply.body.decode("utf-8", errors="replace")
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return cast("dict[str, Any]", document) if isinstance(document, dict) else text


def one(answer: Answer[Any], model: type[ModelT], key: str | None = None) -> ModelT:
    """The single object of an answer. Raises `InvalidResponseError`."""
    try:
        found = model.read(models.unwrap_one(answer.value, key))
        if isinstance(found, models.Job | models.Backfill | models.PipelineRun):
            _check_run_id(found.id)
        return found
    except InvalidResponseError as error:
        raise _with_origin(error, answer) from None


def page(answer: Answer[Any], model: type[ModelT], *keys: str) -> Page[ModelT]:
    """One page of an answer. Raises `InvalidResponseError`."""
    try:
        rows, cursor = models.unwrap_page(answer.value, keys)
        return Page(tuple(model.read_many(rows)), cursor)
    except InvalidResponseError as error:
        raise _with_origin(error, answer) from None


def _check_run_id(run_id: str) -> None:
    """Raises `InvalidResponseError` for an id that no later call would accept: nothing may be built on it."""
    try:
        checked_id("id", run_id)
    except ConfigurationError:
        raise InvalidResponseError(
            "The answer names a run by an id that cannot be one: it is blank, or contains a slash, '..' or a control"
            " character",
            field="id",
            hint="The server changed its format, or the base URL leads to something else.",
        ) from None


def _with_origin(error: InvalidResponseError, answer: Answer[Any]) -> InvalidResponseError:
    return error.with_attempts(answer.failures, request_id=request_id_of(answer.reply.headers))
