"""Replay a feed into Kafka: paced by event time, resumable, with a count of rejected messages."""
