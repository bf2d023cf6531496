"""What every request passes: keys, limits, strict JSON, problem documents, tracing."""
