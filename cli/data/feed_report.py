"""Progress and result of sending a feed to Kafka, as `tick replay` and `tick live` print them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.data.options import SYNTHETIC
from cli.tables import list_counts
from cli.times import format_us

if TYPE_CHECKING:
    from rich.console import Console

    from streaming.replay.replay import ReplayProgress, TickSource


@contextmanager
def progress_line(destination: str) -> "Iterator[Callable[[ReplayProgress], None]]":
    """Yields a callback that shows the progress in one line of the screen."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"sending to {destination}") as status:

        def show(progress: "ReplayProgress") -> None:
            remaining = "" if progress.eta_s is None else f", {progress.eta_s:,.0f} s left"
            status.update(
                f"{progress.sent:,} sent, {progress.acknowledged:,} acknowledged,"
                f" {progress.rejected:,} rejected, {progress.failed:,} failed,"
                f" {progress.rate:,.0f}/s, at {format_us(progress.event_time_us)}{remaining}"
            )

        yield show


def print_result(result: "ReplayProgress", feed: "TickSource") -> None:
    """Print what was sent, and what was changed or left out."""
    from rich.console import Console

    console = Console(highlight=False)
    formats = getattr(feed, "formats", (SYNTHETIC,))
    console.print(
        f"{result.sent:,} ticks sent in {result.elapsed_s:,.1f} s ({result.rate:,.0f}/s) from"
        f" {', '.join(formats)}"
    )
    if result.resumed_at:
        console.print(f"  resumed after row {result.resumed_at:,}")
    if result.rejected:
        console.print(f"  {result.rejected:,} rows rejected: `tick dead-letters list` shows why")
    print_row_counts(console, result.skipped, result.sides_inferred)
    print_left_out(console, getattr(feed, "left_out", ()))
    if result.offset_us:
        console.print(f"  event times moved by {result.offset_us / 1e6:+,.3f} s")
    if result.stretch > 1:
        console.print(
            f"  slow motion: the time between trades is {result.stretch:.2f} times as long"
        )


def print_row_counts(console: "Console", skipped: Counter[str], sides_inferred: int) -> None:
    """Print how many rows were not trades, and how many sides were inferred."""
    from rich.markup import escape

    if skipped:
        console.print(escape(f"  not trades: {list_counts(skipped)}"))
    if sides_inferred:
        console.print(f"  {sides_inferred:,} unknown sides inferred by quote and tick rule")


def print_left_out(console: "Console", members: Sequence[str]) -> None:
    """Print which members of a zip were not read."""
    from rich.markup import escape

    if members:
        more = f" and {len(members) - 3:,} more" if len(members) > 3 else ""
        console.print(escape(f"  left out, no trades: {', '.join(members[:3])}{more}"))
