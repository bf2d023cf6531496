"""Processes and ports: start, recognise, stop."""
