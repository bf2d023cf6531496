"""What a feature is, and every way to compute, store and compare it."""
