"""What the test button of a connection says: what works, what does not, and what was not looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planasonix.runs import check

if TYPE_CHECKING:
    from planasonix import Planasonix

_WORDS = check.Words(
    api_key="password",
    new_key="enter it as the connection's password",
    base_url="host",
    address="host, port",
    path_prefixes="extra path_prefixes",
    proxy="extra proxy",
    holder="connection",
)


def check_connection(client: Planasonix) -> tuple[bool, str]:
    """See `planasonix.runs.check.check_connection`, in the words of the connection form."""
    return check.check_connection(client, _WORDS)
