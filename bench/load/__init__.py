"""What the benches send: ticks, feature rows and HTTP requests."""
