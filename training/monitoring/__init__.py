"""Monitoring of models in production: drift, and comparison of Production and challenger."""
