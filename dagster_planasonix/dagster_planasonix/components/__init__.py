"""The components of this package, for `defs.yaml`."""
