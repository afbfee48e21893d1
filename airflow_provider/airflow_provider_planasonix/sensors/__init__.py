"""Sensors: wait for what Airflow, or somebody else, started."""
