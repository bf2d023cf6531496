"""A synthetic market with a known signal: as a feed, as history, and with injected faults."""
