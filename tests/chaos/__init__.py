"""The chaos harness: faults on a running platform, and whether a tick was lost or counted twice."""
