"""The error of a bench."""

from contracts.errors import TickError


class BenchError(TickError):
    """A measurement was not completed: a result never arrived, or a process died."""
