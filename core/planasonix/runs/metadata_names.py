"""The names under which a job's metadata carries what the run engine needs to know it again."""

INTENT = "planasonix_intent"
GENERATION = "planasonix_generation"
DEPTH = "planasonix_depth"
