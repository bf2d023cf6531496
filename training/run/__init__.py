"""What every training shares: its directory, its MLflow run, its gate, the provenance of its
data."""
