"""The settings, one module per topic."""
