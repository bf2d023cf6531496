"""The parity meter: compares live, backfilled, reference and served features, value by value."""
