"""`tick load`: files of trades directly into the lakehouse, without the stream."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.data import options
from cli.tables import list_counts

if TYPE_CHECKING:
    from streaming.bulk_load.load import LoadReport


def register(app: typer.Typer) -> None:
    """Add `load` to the command line."""
    app.command("load", rich_help_panel="The data")(load)


def load(
    files: options.Files,
    format: options.Format = None,
    venue: options.Venue = None,
    symbol: options.Symbol = None,
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="a bar with the remaining time")
    ] = True,
) -> None:
    """Load history of any length into silver, validated by the rules of the stream. No service
    needs to run.

    A tick that is already there (same venue, symbol and trade id) is not written again: after a
    kill, run the same command again. Invalid rows go to silver.dead_letter with file, row number
    and reason.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.bulk_load import load as bulk_load
    from streaming.feeds import open_feed

    feed = open_feed(files, format, venue, symbol)
    if progress:
        with progress_bars() as report:
            result = bulk_load.load(settings(), feed, now_us(), report)
    else:
        result = bulk_load.load(settings(), feed, now_us())
    _print_result(result, ", ".join(feed.formats), feed.left_out)


def _print_result(result: "LoadReport", formats: str, left_out: tuple[str, ...] = ()) -> None:
    from rich.console import Console

    from cli.data.feed_report import print_left_out, print_row_counts

    console = Console(highlight=False)
    console.print(
        f"{result.read:,} rows read in {result.elapsed_s:,.1f} s ({result.rate:,.0f}/s) from"
        f" {formats}"
    )
    console.print(f"  {result.loaded:,} loaded in {result.commits:,} commits")
    console.print(f"  {result.already:,} already there")
    console.print(f"  {result.duplicates:,} duplicates inside the files")
    console.print(f"  {_describe_rejected(result)}")
    print_row_counts(console, result.skipped, result.sides_inferred)
    print_left_out(console, left_out)


def _describe_rejected(result: "LoadReport") -> str:
    rejected = sum(result.rejected.values())
    if not rejected:
        return "0 rejected"
    reasons = list_counts(result.rejected)
    return f"{rejected:,} rejected ({reasons}): `tick sql 'from silver.dead_letter'` shows them"
