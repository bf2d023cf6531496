"""A synthetic market with a known signal: as a feed, and as history."""
