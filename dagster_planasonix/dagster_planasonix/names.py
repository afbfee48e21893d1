"""Names that Dagster accepts, from names that people and the API give."""

from __future__ import annotations

import hashlib
import keyword
import re
from functools import lru_cache

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_]+")
_KEY_PART = re.compile(r"[A-Za-z0-9_.-]+")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.-]+")
# Dagster refuses these as names of ops; most collide with names in its own configuration.
_ARGUMENTS = (
    "context conf config meta arg_dict dict input_arg_dict output_arg_dict int str float bool input output type"
)
_RESERVED = frozenset(_ARGUMENTS.split())


# A connection's name comes back with each of its tables.
@lru_cache(maxsize=1024)
def plain_name(text: str) -> str:
    """Letters, digits and underscores: for groups and tags. Two texts may become one; empty if nothing is left.

    >>> plain_name("Shop orders (EU)")
    'Shop_orders_EU'
    """
    return _FORBIDDEN.sub("_", text).strip("_")


def key_part(text: str) -> str:
    """A part of an asset key. Dagster makes names of outputs from keys, and takes letters, digits and `_.-` there.

    Anything else becomes an underscore. Where letters of other alphabets are lost by that, the text's digest follows:
    else all names in such an alphabet would be one.

    >>> key_part("order lines")
    'order_lines'
    """
    # Nearly all are plain names, and there are many.
    if (text.isidentifier() and text.isascii()) or _KEY_PART.fullmatch(text):
        return text
    part = _NOT_IN_KEYS.sub("_", text).strip("_")
    return part if part and text.isascii() else f"{part}_{_digest(text)}".lstrip("_")


def unique_name(text: str) -> str:
    """A name for an op or a pool, another one for each text: what had to be changed gets the text's digest behind it.

    It depends on the text alone, so that a new connection renames nothing.

    >>> unique_name("conn_shop_orders")
    'conn_shop_orders'
    >>> unique_name("conn-shop.orders")
    'conn_shop_orders_e1931991'
    """
    name = _FORBIDDEN.sub("_", text)
    if name == text and name and not keyword.iskeyword(name) and name not in _RESERVED:
        return name
    return f"{name.strip('_')}_{_digest(text)}".lstrip("_")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
