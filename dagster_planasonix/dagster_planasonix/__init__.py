"""Planasonix for Dagster: metadata only in this release, see the README."""
