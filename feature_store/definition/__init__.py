"""Feature definitions as text: their checks, the reference implementation, their examples."""
