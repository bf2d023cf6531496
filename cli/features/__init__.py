"""Commands on features: examples, store, backfill, parity."""
