"""`tick stats` and `tick drift`: daily statistics of the ticks, and the drift of features and
forecasts since the training.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import exit_if
from cli.symbols import split_full_symbols
from cli.times import FORMATS, TIME_METAVAR, resolve_range, to_us, us_or_default

if TYPE_CHECKING:
    from lakehouse.tables import Lakehouse

RETRAIN = 3

StatsStart = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: the first day of the lakehouse",
    ),
]
StatsEnd = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="UTC; default: the last complete day of the lakehouse",
    ),
]
Symbols = Annotated[
    str | None, typer.Option(help="VENUE:SYMBOL, separated by commas; default: all")
]
Out = Annotated[
    Path | None, typer.Option(file_okay=False, help="also write the plots to this folder")
]
DriftStart = Annotated[
    datetime,
    typer.Option("--from", formats=FORMATS, metavar=TIME_METAVAR, help="first decision, UTC"),
]
DriftEnd = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="no decision at or after this, UTC; default: now",
    ),
]
ReferenceStart = Annotated[
    datetime | None,
    typer.Option(
        "--reference-from",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="compare with this range instead of the model's training",
    ),
]
ReferenceEnd = Annotated[
    datetime | None,
    typer.Option(
        "--reference-to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="end of that range; default: --from",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `stats` and `drift` to the command line."""
    app.command("stats", rich_help_panel="The data")(stats)
    app.command("drift", rich_help_panel="The model")(drift)


def stats(
    start: StatsStart = None, end: StatsEnd = None, symbols: Symbols = None, out: Out = None
) -> None:
    """Compute volatility, volume profile and correlation of every whole UTC day in the range, into
    gold.tick_daily… and MLflow.

    Replaces the rows of these days; days without ticks are listed. The statistics of a day are
    available from the next midnight on: Feast's view tick_daily joins them accordingly.
    """
    from rich.console import Console

    from cli.reports.progress_bars import progress_bars
    from cli.reports.statistics_report import print_statistics
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from lakehouse.tables import Lakehouse
    from training.daily_stats.compute import compute_days
    from training.daily_stats.publish import publish_report

    names = split_full_symbols(symbols)
    lakehouse = Lakehouse(settings())
    lakehouse.create()
    from_us, end_us = resolve_range(start, end, lambda: _range_of_ticks(lakehouse))
    at_us = now_us()
    with progress_bars() as progress:
        report = compute_days(settings(), from_us, end_us, names, progress, at_us)
    run_id = publish_report(settings(), report, at_us, names, out)
    console = Console()
    print_statistics(console, report)
    plots = f"; plots in {out}" if out is not None and report.days else ""
    console.print(f"MLflow run {run_id}{plots}", soft_wrap=True, markup=False)


def _range_of_ticks(lakehouse: "Lakehouse") -> tuple[int, int]:
    """From the first tick to just after the last one, in µs."""
    first_us, last_us = lakehouse.time_range()
    return first_us, last_us + 1


def drift(
    start: DriftStart,
    end: DriftEnd = None,
    against_from: ReferenceStart = None,
    against_to: ReferenceEnd = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare features and forecasts of the Production model in a range with its training: PSI,
    Kolmogorov–Smirnov, IC.

    Exit code 0: no retrain now. 3: three core features or the predictions have a PSI over 0.25, or
    the IC of five days is below 0, and the last training began at least 24 hours ago. 1: the
    comparison failed.
    """
    import json

    from rich.console import Console

    from cli.reports.statistics_report import print_drift
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from training.monitoring.drift_check import check_drift

    at_us = now_us()
    from_us = to_us(start)
    reference = (
        None if against_from is None else (to_us(against_from), us_or_default(against_to, from_us))
    )
    outcome = check_drift(settings(), from_us, us_or_default(end, at_us), at_us, reference)
    if as_json:
        typer.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        print_drift(Console(), outcome)
    exit_if(outcome.due, RETRAIN)
