"""The proxy that the environment names."""

from __future__ import annotations

from urllib.parse import urlsplit


def proxy_of_environment(base_url: str) -> str | None:
    """The proxy for a normalized base URL by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or None.

    The rules are the standard library's. It may hold a password: for the transport alone.
    """
    # Takes its time to import, and only a client that calls needs it.
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(base_url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    # NO_PROXY may name a host with or without its port, and an IPv6 address without its brackets.
    if not proxy or proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
