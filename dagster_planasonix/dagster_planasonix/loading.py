"""The state that definitions are built from: from a file, from this load of the code location, or from the API.

`dg dev` and each run start many processes, and all of them build the definitions. The process that loads the code
location asks the API; Dagster hands what it learned to all the others. The selector is applied again in each, so that
several calls with one workspace share a single list, and each connection is asked once. A script, and `dg launch`,
load definitions outside of a code location, where Dagster hands nothing on: there each process asks, unless it has a
snapshot. The component has its state on disk in any case.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix import _compat
from dagster_planasonix.fetch import fetch_into, fetch_state
from dagster_planasonix.selection import ConnectionSelector
from dagster_planasonix.state import WorkspaceState, read_state, state_from_json, write_state

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace

_WRITE_SNAPSHOT = "Write it where the API can be reached, with dagster_planasonix.write_planasonix_snapshot."


def load_state(
    workspace: PlanasonixWorkspace,
    connection_selector: ConnectionSelector | None = None,
    *,
    snapshot: str | Path | None = None,
    include_columns: bool = False,
) -> WorkspaceState:
    """The state with at least the tables of the selected connections. With a `snapshot` nothing is asked.

    Raises `ConfigurationError` for a missing or unreadable snapshot, else what `fetch_state` raises.
    """
    if snapshot is not None:
        return read_state(snapshot, remedy=_WRITE_SNAPSHOT)
    key = _key(workspace)
    carried = _compat.carried_state(key)
    known = None if carried is None else state_from_json(_unpacked(carried))
    state = fetch_into(known, workspace, connection_selector, include_columns=include_columns)
    _compat.carry_state(key, carried if carried is not None and state is known else _packed(state))
    return state


def write_planasonix_snapshot(
    workspace: PlanasonixWorkspace,
    path: str | Path,
    connection_selector: ConnectionSelector | None = None,
    *,
    include_columns: bool = False,
) -> WorkspaceState:
    """Ask the API, and keep the answer in a file to build definitions from later: in CI, offline, without a key.

    The file is JSON without secrets, made to be checked in. Returns what it holds; raises what `fetch_state` raises.

        write_planasonix_snapshot(workspace, "planasonix.json", ["conn_shop_orders"])
        assets = build_planasonix_assets_definitions(workspace=workspace, snapshot="planasonix.json")
    """
    state = fetch_state(workspace, connection_selector, include_columns=include_columns)
    write_state(path, state)
    return state


def _key(workspace: PlanasonixWorkspace) -> str:
    """Names the workspace by what decides on what it sees; an environment variable by its name, as a key may rotate.

    A digest, because Dagster stores it, and the settings hold the API key.
    """
    settings = [getattr(workspace, name, None) for name in ("base_url", "organization_id", "environment", "api_key")]
    texts = [f"env {each.env_var_name}" if isinstance(each, dg.EnvVar) else each and str(each) for each in settings]
    return "planasonix/" + hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


def _packed(state: WorkspaceState) -> str:
    """Dagster keeps it as text with the plan of each run: names of tables shrink to a tenth."""
    return base64.b85encode(zlib.compress(state.to_json().encode())).decode()


def _unpacked(text: str) -> str:
    return zlib.decompress(base64.b85decode(text)).decode()
