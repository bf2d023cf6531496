"""A feed into Kafka: paced by event time, resumable, with a count of what was refused."""
