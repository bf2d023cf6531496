"""How a long task reports its progress to whoever displays it."""

from collections.abc import Callable

# (step, done, total): done and total in the unit of the step (rows, bytes, services), total > 0.
Progress = Callable[[str, int, int], None]


def silent(_step: str, _done: int, _total: int) -> None:
    """Progress that is not displayed."""
