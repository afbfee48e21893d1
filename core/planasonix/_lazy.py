"""Names of a package, each imported from its module on first use.

Orchestrators parse their files often, and a file that names an operator needs little of what stands behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, names_by_module: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """A module's `__getattr__`: `names_by_module` says which module of the package holds which names."""
    module_by_name = {name: module for module, names in names_by_module.items() for name in names}

    def get(name: str) -> Any:
        module = module_by_name.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
