"""Monitoring of models in production: drift, and comparison of champion and challenger."""
