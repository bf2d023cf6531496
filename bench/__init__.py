"""Benchmarks of the platform (`make bench`): CPU time, and ratios to peers of the same run."""
