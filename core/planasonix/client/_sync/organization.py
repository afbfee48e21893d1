# Generated from ../_async/organization.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""The organization that a key belongs to."""

from __future__ import annotations

from planasonix.client._sync.calls import Caller
from planasonix.client.reading import one, read_json
from planasonix.models import Organization


class Organizations:
    """`client.organization`: whose data the key reaches. Source: facts §1.2."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def get(self) -> Organization:
        """The organization of this key: `id`, `name`, `slug`, `plan`, `created_at`.

        Raises `PermissionDeniedError` for a key that may run syncs but not read this.

            organization = client.organization.get()
            print(organization.name)
        """
        answer = self._caller.call("organization.get", {}, read_json)
        return one(answer, Organization, "organization")
