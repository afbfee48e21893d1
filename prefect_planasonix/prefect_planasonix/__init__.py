"""Planasonix for Prefect: metadata only in this release, see the README."""
