"""`tick backfill`: features over a range of the lakehouse, chunk by chunk, and a list of the days
without ticks.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import FAILED, exit_if
from cli.symbols import split_symbols
from cli.times import FORMATS, TIME_METAVAR, format_day, resolve_range

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.config.settings import Settings
    from feature_store.backfill.run import BackfillReport

DAYS_LISTED_MAX = 6

Start = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: the first tick of the lakehouse",
    ),
]
End = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: the last closed bar of the lakehouse",
    ),
]
Symbols = Annotated[
    str | None,
    typer.Option(help="only these, such as BINANCE:BTCUSDT,SYNTH:AAAUSD; others are not changed"),
]
ChunkLength = Annotated[
    str,
    typer.Option(help="length of a chunk: 12h, 1d, 2w; auto derives it from the number of ticks"),
]
Again = Annotated[bool, typer.Option("--again", help="recompute chunks that are up to date")]
ToOnline = Annotated[
    bool,
    typer.Option(
        "--to-online", help="afterwards write the newest row of each symbol to the online store"
    ),
]


def register(app: typer.Typer) -> None:
    """Add `backfill` to the command line."""
    app.command("backfill", rich_help_panel="The data")(backfill)


def backfill(
    start: Start = None,
    end: End = None,
    symbols: Symbols = None,
    chunk: ChunkLength = "auto",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="chunks at a time")] = 1,
    again: Again = False,
    to_online: ToOnline = False,
) -> None:
    """Compute features over a range of the lakehouse with the SQL of the live job, into
    gold.tick_features.

    Rows that end in [from, to) are replaced chunk by chunk, each in one commit. A run that was
    killed resumes with the next chunk; chunks whose ticks and definitions have not changed are
    skipped. Days without ticks are listed as holes.

    Ctrl-C, SIGTERM and SIGHUP cancel its Flink jobs; after kill -9 Flink cancels them within two
    minutes.

    Exit code 0: the whole range is in gold. 1: some chunks failed; they are listed, run it again.
    """
    from rich.console import Console

    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.backfill import chunks, run
    from lakehouse.tables import Lakehouse

    names = split_symbols(symbols)
    from_us, end_us = resolve_silver_range(settings(), start, end, now_us())
    length_us = chunks.length_us(Lakehouse(settings()), chunk, from_us, end_us)
    with _interrupted_by_signals(), progress_bars() as report:
        result = run.run(
            settings(), from_us, end_us, report, names, length_us, parallel, again=again
        )
    console = Console(highlight=False)
    print_result(console, result)
    if to_online:
        _write_online(console, settings())
    exit_if(bool(result.failed), FAILED)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, like KeyboardInterrupt on Ctrl-C, so that the Flink
    jobs are cancelled.
    """

    def exit_on_signal(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    # Polars makes the system restart a wait after Ctrl-C: a wait for a thread would not notice it.
    signal.siginterrupt(signal.SIGINT, True)
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # `nohup` ignores SIGHUP
            signal.signal(number, exit_on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def print_result(console: "Console", result: "BackfillReport") -> None:
    """Print what was computed, the failed chunks, and the days without ticks."""
    from rich.markup import escape

    console.print(
        f"{len(result.computed)} chunks computed, {result.rows:,} rows from {result.ticks:,} ticks;"
        f" {len(result.unchanged)} were up to date"
    )
    for chunk, reason in result.failed.items():
        console.print(f"[bold red]✗[/] failed: {chunk}: {escape(reason)}", markup=True)
    for symbol, days in result.holes.items():
        console.print(
            f"[yellow]hole[/]: {escape(symbol)} has no ticks on {len(days)} days: {list_days(days)}"
        )


def list_days(days: list[int]) -> str:
    """Days (begin, µs UTC) as text: the first few and the last one."""
    listed = ", ".join(map(format_day, days[:DAYS_LISTED_MAX]))
    return f"{listed} … {format_day(days[-1])}" if len(days) > DAYS_LISTED_MAX else listed


def _write_online(console: "Console", settings: "Settings") -> None:
    from contracts.clock import now_us
    from feature_store.online import rebuild

    result = rebuild.rebuild(settings, now_us())
    console.print(
        f"online: wrote {result.written} rows; Redis already had {result.older} newer ones"
    )


def resolve_silver_range(
    settings: "Settings", start: datetime | None, end: datetime | None, now_us: int
) -> tuple[int, int]:
    """The range in µs; by default all ticks of silver, to the end of their last closed bar."""
    from contracts.durations import SECOND_US
    from contracts.windows import LEVELS
    from feature_store.backfill import closed_bars
    from lakehouse.tables import Lakehouse

    lakehouse = Lakehouse(settings)
    lakehouse.create()

    def find_default() -> tuple[int, int]:
        first_us, last_us = lakehouse.time_range()
        longest_tile_s = max(level.tile_s for level in LEVELS)
        after_last_us = last_us + (longest_tile_s + 1) * SECOND_US
        # Rows end on whole seconds; the end of the range is exclusive.
        after_closed_us = (closed_bars.closed_us(settings, now_us) // SECOND_US + 1) * SECOND_US
        return first_us, min(after_last_us, max(after_closed_us, first_us + 1))

    return resolve_range(start, end, find_default)
