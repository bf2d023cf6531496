"""Progress of a training: name of the step, units done, units in total."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def no_progress(step: str, done: int, total: int) -> None:
    """Ignore the progress."""
