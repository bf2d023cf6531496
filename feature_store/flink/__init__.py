"""Access to Flink: programs, REST API, saved states, health of the live job."""
