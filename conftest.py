"""For every suite: the package is imported whole before a test starts threads."""

import importlib
import pkgutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def _planasonix_is_imported() -> None:
    """Imports every module of the core in the main thread.

    pytest rewrites the modules of a distribution that brings a pytest plugin, which ours does, and the rewriting
    parses source. CPython 3.11's parser can fail with "AST constructor recursion depth mismatch" when two threads
    parse at once, so a first import inside a test's thread, which users never rewrite, killed that thread.
    """
    import planasonix

    for module in pkgutil.walk_packages(planasonix.__path__, "planasonix."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
