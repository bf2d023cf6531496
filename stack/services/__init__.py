"""One module per service: how it is configured, started and found ready."""
