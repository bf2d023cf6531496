"""Shared by all training pipelines: run directory, MLflow run, gate, registration, provenance,
downloads."""
