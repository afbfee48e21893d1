"""From what people type as an address to what requests are sent to."""

from __future__ import annotations

from urllib.parse import urlsplit

from planasonix.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# A base URL copied together with a prefix of the API would have it twice, as every route brings its own.
_PREFIXES = ("/api/v1", "/api")


def normalize_base_url(url: object) -> str:
    """Scheme, host, port and path, without a trailing slash.

    Without a scheme it is `https`, on this machine `http`. A path is kept, because tenants may live under
    one (facts §2, "Base URL"), except for a trailing `/api/v1` or `/api`. Raises `ConfigurationError` for
    anything that is no address, and for user names, queries and fragments, which have no place in it.
    """
    if not isinstance(url, str) or not url.strip():
        raise _refused("it is empty")
    text = url.strip()
    if "://" not in text:
        text = f"{'http' if _is_loopback(text) else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refused("host or port cannot be read") from None
    if parts.scheme not in ("https", "http"):
        raise _refused("its scheme is neither https nor http")
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise _refused("it has no readable host")
    if "@" in parts.netloc:
        # Not quoted in the message: what stands there is a password.
        raise _refused("it contains a user name or password")
    if parts.query or parts.fragment:
        raise _refused("it contains a query or fragment")
    path = parts.path.rstrip("/")
    for prefix in _PREFIXES:
        if path.endswith(prefix):
            path = path.removesuffix(prefix)
            break
    netloc = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{netloc}{f':{port}' if port is not None else ''}{path}"


def host_of(base_url: str) -> str:
    """Host and port of a normalized base URL."""
    return urlsplit(base_url).netloc


def _is_loopback(text: str) -> bool:
    try:
        return urlsplit(f"//{text}").hostname in _LOOPBACK
    except ValueError:
        return False


def _refused(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the base URL cannot be used: {reason}",
        field="base_url",
        hint="Give it as https://host, for example https://api.planasonix.com (or set PLANASONIX_BASE_URL).",
    )
