"""`tick stats` and `tick drift`: daily statistics of the ticks, and whether features and forecasts
have left what was trained on.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from training.daily_stats.compute import DailyStatsReport
    from training.monitoring.drift_check import DriftCheck
    from training.tick.drift import DriftVerdict

RETRAIN = 3
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
LISTED_MAX = 10
Moment = datetime | None


def register(app: typer.Typer) -> None:
    """Add `stats` and `drift` to the command line."""
    app.command("stats", rich_help_panel="The data")(stats)
    app.command("drift", rich_help_panel="The model")(drift)


def stats(
    start: Annotated[
        Moment,
        typer.Option(
            "--from", formats=FORMATS, help="UTC; default: the first day of the lakehouse"
        ),
    ] = None,
    end: Annotated[
        Moment,
        typer.Option(
            "--to", formats=FORMATS, help="UTC; default: the last day of the lakehouse that is over"
        ),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="VENUE:SYMBOL, several with commas; default: all")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="write the pictures to this folder, too")
    ] = None,
) -> None:
    """Volatility, volume profile and correlation of every whole UTC day in the range, into
    gold.tick_daily… and MLflow.

    What the tables held for these days is replaced; days without ticks are named. A day's
    statistics may be used from the next midnight on: Feast's view tick_daily joins them so.
    """
    from rich.console import Console

    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from lakehouse import tables
    from training.daily_stats.compute import compute_days
    from training.daily_stats.publish import publish_report

    tables.create(settings())
    first_us, last_us = tables.time_range(settings()) if start is None or end is None else (0, 0)
    from_us, to_us = _micros(start, first_us), _micros(end, last_us + 1)
    wanted, at_us = _split(symbols), now_us()
    with bars() as progress:
        report = compute_days(settings(), from_us, to_us, wanted, progress, at_us)
    run_id = publish_report(settings(), report, at_us, wanted, out)
    console = Console()
    _tell(console, report)
    console.print(
        f"MLflow run {run_id}"
        + (f"; pictures in {out}" if out is not None and report.days else ""),
        soft_wrap=True,
    )


def drift(
    start: Annotated[datetime, typer.Option("--from", formats=FORMATS, help="first decision, UTC")],
    end: Annotated[
        Moment,
        typer.Option(
            "--to", formats=FORMATS, help="no decision at or after this, UTC; default: now"
        ),
    ] = None,
    against_from: Annotated[
        Moment,
        typer.Option(
            "--reference-from",
            formats=FORMATS,
            help="compare with this range instead of the model's training",
        ),
    ] = None,
    against_to: Annotated[
        Moment,
        typer.Option("--reference-to", formats=FORMATS, help="end of that range; default: --from"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare features and forecasts of the Production model in a range with its training: PSI,
    Kolmogorov–Smirnov, IC.

    Exit code 0: no retrain now. 3: three core features or the predictions have a PSI over 0.25, or
    the IC of five days lies below 0, and the last training began 24 hours ago or more. 1: it could
    not be compared.
    """
    import json

    from rich.console import Console

    from contracts.clock import now_us
    from contracts.config.settings import settings
    from training.monitoring.drift_check import check_drift

    at_us = now_us()
    from_us = _micros(start, 0)
    against = (
        None if against_from is None else (_micros(against_from, 0), _micros(against_to, from_us))
    )
    outcome = check_drift(settings(), from_us, _micros(end, at_us), at_us, against)
    if as_json:
        typer.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        _show(Console(), outcome)
    if outcome.due:
        raise typer.Exit(RETRAIN)


def drift_table(verdict: "DriftVerdict") -> "Table":
    """A line per column, the most drifted first."""
    from rich.table import Table

    colour = {"ok": "green", "warn": "yellow", "alert": "bold red"}
    table = Table("column", "PSI", "", "KS", "p", "NULLs", title="Drift since training")
    for line in sorted(verdict.columns, key=lambda line: -line.psi):
        level = f"[{colour[line.level]}]{line.level}[/]"
        table.add_row(
            line.name,
            f"{line.psi:.3f}",
            level,
            f"{line.ks:.3f}",
            f"{line.p_value:.2g}",
            f"{line.nulls:.1%}",
        )
    return table


def _show(console: "Console", outcome: "DriftCheck") -> None:
    verdict = outcome.verdict
    console.print(drift_table(verdict))
    ic = verdict.ic
    if ic.value == ic.value:
        console.print(
            f"IC of the last {ic.days} days {ic.value:.3g}, 95 % interval {ic.low:.3g} to"
            f" {ic.high:.3g}"
        )
    else:
        console.print(
            f"no IC: {ic.days} days with decisions, five are needed, and forecasts that differ"
        )
    for reason in verdict.reasons:
        console.print(f"[bold red]✗[/] {reason}", soft_wrap=True)
    if outcome.due:
        console.print(
            f"[bold red]version {outcome.version} should be trained again[/]: `tick train tick`;"
            " the gate decides as always"
        )
    elif verdict.retrain:
        console.print(
            "[yellow]a retrain is asked for, and the last training is less than 24 hours old:"
            " wait[/]"
        )
    else:
        console.print(
            f"[bold green]no retrain[/]: version {outcome.version}, {outcome.rows:,} decisions"
        )


def _tell(console: "Console", report: "DailyStatsReport") -> None:
    console.print(f"{len(report.days)} days computed")
    for table, rows in report.rows.items():
        console.print(f"  {table}: {rows:,} rows")
    for days, what in (
        (report.holes, "without ticks"),
        (report.unfinished, "not over yet, left out"),
    ):
        if days:
            more = f" and {len(days) - LISTED_MAX} more" if len(days) > LISTED_MAX else ""
            console.print(
                f"[yellow]{len(days)} days {what}[/]: {', '.join(days[:LISTED_MAX])}{more}",
                soft_wrap=True,
            )
    if report.missing:
        console.print(f"[yellow]no ticks of[/] {', '.join(report.missing)}", soft_wrap=True)


def _split(symbols: str | None) -> list[str] | None:
    """Raises DatasetError for a name that is not VENUE:SYMBOL."""
    from contracts.errors import DatasetError

    if symbols is None:
        return None
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    wrong = [name for name in names if name.count(":") != 1]
    if wrong or not names:
        raise DatasetError(
            f"--symbols {symbols!r} is not a list of VENUE:SYMBOL",
            "such as --symbols BINANCE:BTCUSDT,SYNTH:AAAUSD",
        )
    return names


def _micros(moment: datetime | None, default_us: int) -> int:
    return (
        default_us if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)
    )
