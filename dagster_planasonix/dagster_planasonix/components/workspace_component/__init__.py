"""`dagster_planasonix.PlanasonixWorkspaceComponent`: assets of a workspace, told in YAML."""
