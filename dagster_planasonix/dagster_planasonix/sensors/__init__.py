"""Sensors: what Dagster tells of jobs whose end none of its steps waits for."""
