"""`tick load`: files of trades straight into the lakehouse, without the stream."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.bulk_load.load import LoadReport


def register(app: typer.Typer) -> None:
    """Add `load` to the command line."""
    app.command("load", rich_help_panel="The data")(load)


def load(
    files: Annotated[list[str], typer.Argument(help="files or quoted globs")],
    format: Annotated[
        str | None,
        typer.Option(
            help="name of the format, if it is not to be detected; a wrong name shows all"
        ),
    ] = None,
    venue: Annotated[str | None, typer.Option(help="venue, instead of what the file says")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="symbol, instead of what the file says")
    ] = None,
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="a bar with the time that is left")
    ] = True,
) -> None:
    """Load history of any length into silver, judged by the same rules as the stream; no service
    need run.

    A tick that is there already (same venue, symbol and trade id) is not written again: after a
    kill, say the same once more. Rows that are not ticks go to silver.dead_letter with file, row
    number and reason.
    """
    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.bulk_load import load as bulk
    from streaming.feeds import open_feed

    feed = open_feed(files, format, venue, symbol)
    if progress:
        with bars() as report:
            done = bulk.load(settings(), feed, now_us(), report)
    else:
        done = bulk.load(settings(), feed, now_us())
    _report(done, ", ".join(feed.formats))


def _report(done: "LoadReport", formats: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    console, rejected = Console(highlight=False), sum(done.rejected.values())
    console.print(
        f"{done.read:,} rows read in {done.elapsed_s:,.1f} s ({done.rate:,.0f}/s) from {formats}"
    )
    console.print(f"  {done.loaded:,} loaded in {done.commits:,} commits")
    console.print(f"  {done.already:,} already there")
    console.print(f"  {done.duplicates:,} duplicates inside the files")
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in done.rejected.most_common())
    console.print(
        f"  {rejected:,} rejected"
        + (f" ({reasons}): `tick sql 'from silver.dead_letter'` shows them" if rejected else "")
    )
    if done.skipped:
        console.print(
            escape(
                "  no trades: "
                + ", ".join(f"{kind} {count:,}" for kind, count in done.skipped.most_common())
            )
        )
    if done.sides_inferred:
        console.print(f"  {done.sides_inferred:,} unknown sides inferred by quote and tick rule")
