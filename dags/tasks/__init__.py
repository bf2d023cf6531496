"""Tasks of the DAGs: thin calls of `training`, `feature_store` and `lakehouse`."""
