"""Whom a key belongs to. Facts §1.2, seed 3."""

from planasonix.models.base import WireModel
from planasonix.models.scalars import Id, Timestamp


class Organization(WireModel):
    """The organization of the key that asks."""

    id: Id
    name: str | None = None
    slug: str | None = None
    plan: str | None = None
    created_at: Timestamp | None = None
