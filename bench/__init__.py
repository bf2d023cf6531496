"""Measurements of the platform, run by `make bench`: CPU time and ratios against a peer or bound of
the same run.
"""
