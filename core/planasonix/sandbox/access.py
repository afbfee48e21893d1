"""API keys and their scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .replies import Refusal

Keys = Mapping[str, frozenset[str] | None]


def keys_from(api_keys: str | Iterable[str] | Mapping[str, Iterable[str] | None]) -> dict[str, frozenset[str] | None]:
    """Keys with their scopes; None allows everything."""
    if isinstance(api_keys, str):
        return {api_keys: None}
    if isinstance(api_keys, Mapping):
        return {
            key: None if scopes is None else frozenset(scopes)
            for key, scopes in api_keys.items()  # pyright: ignore[reportUnknownVariableType]
        }
    return dict.fromkeys(api_keys)


def authenticate(authorization: str | None, keys: Keys) -> str:
    """The API key of a call. Raises Refusal 401 when it is missing, malformed or unknown."""
    challenge = {"www-authenticate": "Bearer"}
    if not authorization:
        raise Refusal(401, "Send the API key as Authorization: Bearer <key>", headers=challenge)
    scheme, _, key = authorization.strip().partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or key not in keys:
        raise Refusal(401, "The API key is malformed, unknown or revoked", headers=challenge)
    return key


def authorize(api_key: str, scope: str, keys: Keys) -> None:
    """Raises Refusal 403 when the key lacks the scope."""
    scopes = keys[api_key]
    if scopes is not None and scope not in scopes:
        raise Refusal(403, f"The API key lacks the scope {scope}")
