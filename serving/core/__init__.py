"""Predictions from features and a model, one answer per symbol; independent of HTTP."""
