"""Events instead of polling: the receiver on Airflow's API server, and what a triggerer makes of its inbox."""
