"""A synthetic market with a known truth: as a feed, as history, and with faults on purpose."""
