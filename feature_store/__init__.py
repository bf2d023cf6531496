"""Feature definitions, and all code that computes, stores and compares feature values."""
