"""Progress bars with the estimated remaining time, for steps that report (step, done, total)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress_bars(
    console: Console | None = None,
    estimate_period_s: float = 30.0,
    clock: Callable[[], float] | None = None,
) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a callback `(step, done, total)`: one bar per step, with elapsed and remaining time.

    The remaining time is estimated from the last `estimate_period_s` seconds, which must contain
    several units of a step. `clock` (seconds) replaces the monotonic clock.
    """
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console or Console(stderr=True),
        speed_estimate_period=estimate_period_s,
        get_time=clock,
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report
