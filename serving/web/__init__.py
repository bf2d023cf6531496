"""Middleware and formats of all routes: keys, limits, strict JSON, schemas, problems, tracing."""
