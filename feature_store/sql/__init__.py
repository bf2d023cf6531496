"""Feature definitions rendered as Flink SQL, the same for stream and batch."""
