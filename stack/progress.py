"""How long steps tell what they have done: a callback, so that only the command line draws bars."""

from collections.abc import Callable

# (step, done, total); done and total in the step's own unit (bytes, services), total > 0.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Draws nothing."""
