"""Planasonix for Apache Airflow: hook, operators, triggers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("airflow-provider-planasonix")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0"
