"""Maintenance of the tables: summary, compaction, expiry of snapshots, unreferenced files."""
