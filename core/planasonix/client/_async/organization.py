"""The organization that a key belongs to."""

from __future__ import annotations

from planasonix.client._async.calls import AsyncCaller
from planasonix.client.reading import one, read_json
from planasonix.models import Organization


class AsyncOrganizations:
    """`client.organization`: whose data the key reaches. Source: facts §1.2."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def get(self) -> Organization:
        """The organization of this key: `id`, `name`, `slug`, `plan`, `created_at`.

        Raises `PermissionDeniedError` for a key that may run syncs but not read this.

            organization = await client.organization.get()
            print(organization.name)
        """
        answer = await self._caller.call("organization.get", {}, read_json)
        return one(answer, Organization, "organization")
