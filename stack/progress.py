"""Progress of long steps: a callback, so that only the command line draws progress bars."""

from collections.abc import Callable

# (step, done, total); done and total in the step's own unit (bytes, services), total > 0.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Report nothing."""
