"""Tasks of the DAGs: thin wrappers around `training`, `feature_store` and `lakehouse`."""
