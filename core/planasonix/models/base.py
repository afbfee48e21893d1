"""How every answer is read, and written back.

Readers are tolerant: a new field is kept, one that is named as in another dialect is understood, and an
optional one that cannot be read counts as absent. Only ids and statuses are strict: without them an answer
means nothing. Whatever was not understood stays among the extra fields under its own name, so that `to_wire`
loses nothing.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import GenericAlias
from typing import Any, ClassVar, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from planasonix.errors import InvalidResponseError
from planasonix.models.dialects import Dialects, dialects_of
from planasonix.models.scalars import REVEAL

_M = TypeVar("_M", bound="WireModel")


class WireModel(BaseModel):
    """Base of everything that the server sends.

    Settings of a subclass: `strict_fields`, which must be readable if present (required ones always must);
    `other_names`, what other dialects of the API call a field, first choice first (camelCase and snake_case
    are understood without being listed); `secret_fields`, never kept in the clear.
    """

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        protected_namespaces=(),
        # To build all the classes takes longer than to import them, and a process uses a few.
        defer_build=True,
        # The input may hold a secret, and the text of an error may be logged.
        hide_input_in_errors=True,
    )
    strict_fields: ClassVar[frozenset[str]] = frozenset()
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    other_names: ClassVar[Mapping[str, Sequence[str]]] = {}

    @classmethod
    def read(cls, data: Any) -> Self:
        """Returns the model of one decoded JSON object.

        Raises InvalidResponseError, whose `field` names what is missing or cannot be read.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _invalid(cls, error) from None

    @classmethod
    def read_many(cls, rows: Sequence[Any]) -> list[Self]:
        """Returns the models of the rows of a page; raises as `read` does, naming the row too, as in `7.id`."""
        try:
            return _list_of(cls).validate_python(rows)
        except ValidationError as error:
            raise _invalid(cls, error) from None

    def to_wire(self) -> dict[str, Any]:
        """Returns what was sent: same names, same fields, times in UTC with `Z`, secrets in the clear."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, context=REVEAL)

    @model_validator(mode="wrap")
    @classmethod
    def _read_tolerantly(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        row = cast("dict[str, Any]", data)
        dialects = _dialects(cls)
        if dialects.foreign.isdisjoint(row):
            return _read_row(cls, row, {}, handler)
        return _read_row(cls, *dialects.translate(row), handler)

    def __repr_args__(self) -> Any:
        # Unknown fields may hold anything, a secret included.
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if info.repr and value is not None:
                yield name, value


class BareReadable(WireModel):
    """An object that some servers send as a bare string instead, which then is its `bare_field`."""

    bare_field: ClassVar[str]
    _bare: Any = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _read_bare(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, (dict, cls)):
            return handler(data)
        model = handler(cls.of_bare(data))
        model._bare = data
        return model

    @classmethod
    def of_bare(cls, data: Any) -> dict[str, Any]:
        """Returns the fields that the bare value stands for; raises ValueError if it means nothing."""
        if not isinstance(data, str) or not data:
            raise ValueError("neither an object nor a text")
        return {cls.bare_field: data}

    @model_serializer(mode="wrap")
    def _write_bare(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self) if self._bare is None else self._bare


@cache
def _dialects(cls: type[WireModel]) -> Dialects:
    wire_names = {name: info.alias or name for name, info in cls.model_fields.items()}
    return dialects_of(wire_names, cls.other_names, cls.secret_fields)


@cache
def _list_of(cls: type[Any]) -> TypeAdapter[list[Any]]:
    rows: Any = GenericAlias(list, (cls,))
    return TypeAdapter(rows)


def _read_row(
    cls: type[_M],
    row: dict[str, Any],
    sent: dict[str, dict[str, Any]],
    handler: ModelWrapValidatorHandler[_M],
) -> _M:
    """Reads a row, without the optional fields that cannot be read.

    `sent` holds, for each field that was filled from another name, what stood under its own.
    """
    try:
        model = handler(row)
        if not sent:
            return model
    except ValidationError as error:
        for field, wire_name in _unreadable(cls, error).items():
            sent.setdefault(field, {wire_name: row[wire_name]})
            row = {name: value for name, value in row.items() if name != wire_name}
        model = handler(row)
    # Such a field does not count as set, and what was sent instead is an extra field: so it goes back as it
    # came.
    model.__pydantic_fields_set__.difference_update(sent)
    for raw in sent.values():
        cast("dict[str, Any]", model.__pydantic_extra__).update(raw)
    return model


def _unreadable(cls: type[WireModel], error: ValidationError) -> dict[str, str]:
    """The optional fields that an error is about, with the names they were sent under.

    Raises the error itself if one of them is strict.
    """
    found: dict[str, str] = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        sent_as = problem["loc"][0] if problem["loc"] else None
        field = next((n for n, i in cls.model_fields.items() if sent_as in (n, i.alias)), None)
        if field is None or field in cls.strict_fields or cls.model_fields[field].is_required():
            raise error
        found[field] = str(sent_as)
    return found


def _invalid(cls: type[WireModel], error: ValidationError) -> InvalidResponseError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    problem = "is missing" if first["type"] == "missing" else f"cannot be read: {first['msg']}"
    return InvalidResponseError(
        f"The answer is no {cls.__name__}: {field or 'it'} {problem}",
        field=field,
        hint="The server changed its format, or the base URL leads to something else.",
    )
