"""Model files and the MLflow registry: export, verify, load, promote."""
