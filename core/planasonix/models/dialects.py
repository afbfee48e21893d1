"""The names that different parts and versions of the API give to one field.

Source: facts §4.2, C2, C3, C5, C19, C20, C30, and "Field case" in §2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel


class Translation(NamedTuple):
    """A row under the documented names; for each field filled, what stood under its documented name."""

    row: dict[str, Any]
    sent: dict[str, dict[str, Any]]


class _Field(NamedTuple):
    name: str
    wire_name: str
    other_names: tuple[str, ...]
    secret: bool


@dataclass(frozen=True)
class Dialects:
    """The documented name of each field of a model, and all others."""

    fields: tuple[_Field, ...]
    foreign: frozenset[str]

    def translate(self, row: Mapping[str, Any]) -> Translation:
        """Returns the row with each empty documented field filled from the first other name that has a value.

        The other name stays in the row as an extra field, unless it holds a secret.
        """
        filled: dict[str, Any] = dict(row)
        sent: dict[str, dict[str, Any]] = {}
        for field in self.fields:
            other = next((name for name in field.other_names if row.get(name) is not None), None)
            if field.secret:
                for name in field.other_names:
                    filled.pop(name, None)
            if other is None or row.get(field.wire_name) is not None:
                continue
            filled[field.wire_name] = row[other]
            if not field.secret:
                sent[field.name] = {name: row[name] for name in (field.wire_name,) if name in row}
        return Translation(filled, sent)


def dialects_of(
    wire_names: Mapping[str, str], other_names: Mapping[str, Sequence[str]], secret_fields: frozenset[str]
) -> Dialects:
    """Returns the dialects of a model.

    Parameters: `wire_names`, its fields and their documented names; `other_names`, what else a field is
    called; `secret_fields`, those whose value must not stay among the extra fields. camelCase and snake_case
    come by themselves.
    """
    documented = set(wire_names.values())
    fields: list[_Field] = []
    for name, wire_name in wire_names.items():
        listed = other_names.get(name, ())
        every = dict.fromkeys(n for base in (name, *listed) for n in (base, to_camel(base)))
        others = tuple(other for other in every if other not in documented)
        if others:
            fields.append(_Field(name, wire_name, others, name in secret_fields))
    return Dialects(tuple(fields), frozenset(other for field in fields for other in field.other_names))
