"""One module per service: its configuration, start command and readiness check."""
