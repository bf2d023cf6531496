"""Backfill: features of a range of history, in chunks of Flink batch jobs.

Each chunk replaces its rows of gold in one commit.
"""
