"""Trainings: tick, power and vision models, and statistics of days."""
