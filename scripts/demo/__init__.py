"""`make demo`: the sandbox and a real Airflow run the example DAG, with nothing faked in between."""
