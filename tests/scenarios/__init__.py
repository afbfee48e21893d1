"""The promises as data, played against each orchestrator by its driver."""
