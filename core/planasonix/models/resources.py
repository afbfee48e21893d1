"""The generic envelope of one resource, as the REST introduction shows it. Facts §4.2, C2."""

from typing import Any

from planasonix.models.base import WireModel
from planasonix.models.scalars import Id


class Resource(WireModel):
    """Any object as `{id, type, attributes}`. Other models take the attributes as fields of their own."""

    id: Id
    type: str | None = None
    attributes: dict[str, Any] | None = None
