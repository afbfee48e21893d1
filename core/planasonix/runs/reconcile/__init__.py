"""Find the runs that no process looks after any more. Its names are those of `planasonix.runs`."""
