"""`tick backfill`: features over a range of the lakehouse, chunk by chunk, with a report of what is
missing.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.config.settings import Settings
    from feature_store.backfill.run import BackfillReport

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
SHOWN = 6  # days of a hole that are named


def register(app: typer.Typer) -> None:
    """Add `backfill` to the command line."""
    app.command("backfill", rich_help_panel="The data")(backfill)


def backfill(
    start: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=FORMATS, help="UTC; default: the first tick of the lakehouse"
        ),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=FORMATS, help="UTC; default: the last tick of the lakehouse"),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(
            help="only these, such as BINANCE:BTCUSDT,SYNTH:AAAUSD; others stay as they are"
        ),
    ] = None,
    chunk: Annotated[
        str,
        typer.Option(help="length of a chunk: 12h, 1d, 2w; auto fits it to the number of ticks"),
    ] = "auto",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="chunks at a time")] = 1,
    again: Annotated[bool, typer.Option("--again", help="compute also what is up to date")] = False,
    to_online: Annotated[
        bool,
        typer.Option("--to-online", help="then give the newest row per symbol to the online store"),
    ] = False,
) -> None:
    """Compute features over a range of the lakehouse with the same SQL as the live job, into
    gold.tick_features.

    Rows with their end in [from, to) are replaced chunk by chunk, each in one commit; a run that
    was killed goes on where it was, and chunks whose ticks and definitions have not changed are
    left as they are. Days without ticks are listed as holes.

    Ctrl-C, SIGTERM and SIGHUP cancel its Flink jobs; after kill -9 Flink does so within two
    minutes.

    Exit code 0: everything asked for stands in gold. 1: some chunks failed; they are listed, run it
    again.
    """
    from rich.console import Console

    from cli.reports.progress_bars import bars
    from contracts.config.settings import settings
    from feature_store.backfill import chunks
    from feature_store.backfill import run as batch

    from_us, to_us = _range(settings(), start, end)
    length_us = chunks.length_us(settings(), chunk, from_us, to_us)
    wanted = [symbol.strip() for symbol in symbols.split(",")] if symbols else None
    with _ended_by_signals(), bars() as report:
        done = batch.run(
            settings(), from_us, to_us, report, wanted, length_us, parallel, again=again
        )
    console = Console(highlight=False)
    show(console, done)
    if to_online:
        _push(console, settings())
    if done.failed:
        raise typer.Exit(1)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End by an exception on SIGTERM and SIGHUP as on Ctrl-C, so that Flink jobs are cancelled."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    # Polars lets the system restart a wait after Ctrl-C: a wait for a thread would never notice it.
    signal.siginterrupt(signal.SIGINT, True)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as `nohup` does with SIGHUP
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(console: "Console", report: "BackfillReport") -> None:
    """What was done, what failed, and the holes."""
    done = (
        f"{len(report.computed)} chunks computed, {report.rows:,} rows from {report.ticks:,} ticks"
    )
    console.print(f"{done}; {len(report.unchanged)} were up to date")
    for chunk, why in report.failed.items():
        console.print(f"[bold red]✗[/] not done: {chunk}: {why}", markup=True)
    for symbol, days in report.holes.items():
        console.print(f"[yellow]hole[/]: {symbol} has no ticks on {len(days)} days: {named(days)}")


def named(days: list[int]) -> str:
    """Days (begin, µs UTC) as text, the first few of many."""
    texts = [datetime.fromtimestamp(day / 1e6, UTC).strftime("%Y-%m-%d") for day in days[:SHOWN]]
    return ", ".join(texts) + (
        f" … {datetime.fromtimestamp(days[-1] / 1e6, UTC):%Y-%m-%d}" if len(days) > SHOWN else ""
    )


def _push(console: "Console", settings: "Settings") -> None:
    from contracts.clock import now_us
    from feature_store.online import rebuild

    written = rebuild.rebuild(settings, now_us())
    console.print(
        f"online: wrote {written.written} rows; Redis already held {written.older} newer ones"
    )


def _range(settings: "Settings", start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The range in µs. What is not given comes from silver; row ends lie up to a minute behind
    their last tick.
    """
    from contracts.windows import LEVELS
    from lakehouse.tables import Lakehouse

    first_us, last_us = Lakehouse(settings).time_range() if start is None or end is None else (0, 0)
    from_us = first_us if start is None else _micros(start)
    to_us = (
        last_us + (max(level.tile_s for level in LEVELS) + 1) * 1_000_000
        if end is None
        else _micros(end)
    )
    return from_us, to_us


def _micros(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1e6)
