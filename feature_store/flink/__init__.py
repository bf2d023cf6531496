"""Flink as this project uses it: programs, REST interface, saved states, health of the live job."""
