"""The parity report for people: totals per view, the columns with something to say, stretches,
examples, and a verdict.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from feature_store.parity.column_diff import ColumnDiff, Where
    from feature_store.parity.report import ParityReport

LISTED_MAX = 10
NEAR = 0.01  # errors above this share of the tolerance are worth a line


def show(console: "Console", report: "ParityReport") -> None:
    """Print all of it."""
    console.print(views(report))
    for title, lines in _parts(report):
        odd = [line for line in lines if _odd(line)]
        if odd:
            console.print(columns(title, odd))
    for gap in report.coverage_gaps[:LISTED_MAX]:
        span = f"{moment(gap.from_us)} – {moment(gap.to_us)}"
        console.print(
            f"[yellow]{gap.kind}[/]: {span}, {gap.rows:,} rows of the other side",
            soft_wrap=True,
        )
    if len(report.coverage_gaps) > LISTED_MAX:
        console.print(f"… and {len(report.coverage_gaps) - LISTED_MAX} more coverage gaps")
    if report.never_live:
        console.print(
            f"[yellow]loaded, never live[/]: {', '.join(report.never_live[:LISTED_MAX])}",
            soft_wrap=True,
        )
    if report.never_backfilled:
        console.print(
            "[yellow]not yet backfilled at all[/]:"
            f" {', '.join(report.never_backfilled[:LISTED_MAX])}",
            soft_wrap=True,
        )
    for example in report.examples:
        console.print(
            f"[red]{example.what}[/]: {example.view} {example.symbol}"
            f" {moment(example.event_time_us)}",
            soft_wrap=True,
        )
    _others(console, report)
    _verdict(console, report)


def views(report: "ParityReport") -> "Table":
    """Rows per view, by what became of them."""
    from rich.table import Table

    title = f"Live against history, {moment(report.from_us)} – {moment(report.to_us)} UTC"
    names = (
        "live",
        "batch",
        "compared",
        "repeated",
        "late",
        "no_live_job",
        "not_backfilled",
        "missing",
        "extra",
        "doubled",
    )
    made = Table(
        "view", *(name.replace("_", " ") for name in names), title=title, title_justify="left"
    )
    for rows in report.rows.values():
        red = {name for name in ("missing", "extra", "doubled") if getattr(rows, name)}
        counts = (
            f"[bold red]{getattr(rows, name):,}[/]" if name in red else f"{getattr(rows, name):,}"
            for name in names
        )
        made.add_row(rows.view, *counts)
    return made


def columns(title: str, lines: "Iterable[ColumnDiff]") -> "Table":
    """A line per column that has something to say."""
    from rich.table import Table

    made = Table(
        "column",
        "compared",
        "differ",
        "late",
        "warm-up",
        "new",
        "unexplained",
        "largest error",
        "where",
        title=title,
        title_justify="left",
    )
    for line in lines:
        unexplained = f"[bold red]{line.unexplained:,}[/]" if line.unexplained else "0"
        counts = (
            f"{count:,}"
            for count in (line.compared, line.mismatch, line.late, line.warm_up, line.new_column)
        )
        made.add_row(
            line.name, *counts, unexplained, *(_where(line.worst) if line.worst else ("0", ""))
        )
    return made


def moment(us: int) -> str:
    """A time as text; rows end at whole seconds, and what lies between counts as the next one."""
    return datetime.fromtimestamp(-(-us // 1_000_000), UTC).strftime("%Y-%m-%d %H:%M:%S")


def write(folder: Path, report: "ParityReport") -> None:
    """The picture and all numbers, as parity.png and parity.json."""
    import orjson

    from feature_store.parity.plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    title = (
        f"{moment(report.from_us)} – {moment(report.to_us)} UTC, {report.unexplained:,} unexplained"
    )
    draw(report, title).savefig(folder / "parity.png", dpi=110)
    (folder / "parity.json").write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))


def _parts(report: "ParityReport") -> "tuple[tuple[str, Iterable[ColumnDiff]], ...]":
    return (
        ("Columns that differ, or nearly", report.diffs.values()),
        ("History against the reference evaluation", report.reference.diffs.values()),
        ("Served against history", report.served.diffs.values()),
    )


def _odd(line: "ColumnDiff") -> bool:
    from feature_store.parity.column_diff import TOLERANCE

    return bool(line.mismatch) or (
        line.worst is not None and line.worst.relative > NEAR * TOLERANCE
    )


def _where(worst: "Where") -> tuple[str, str]:
    size = "NULL" if worst.expected is None or worst.got is None else f"{worst.relative:.1e}"
    return (
        size,
        (
            f"{worst.symbol} {moment(worst.event_time_us)}: {_number(worst.got)} for"
            f" {_number(worst.expected)}"
        ),
    )


def _number(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.12g}"


def _others(console: "Console", report: "ParityReport") -> None:
    oracle, served = report.reference, report.served
    if oracle.rows:
        console.print(
            f"oracle: {oracle.rows:,} rows of history evaluated again, {oracle.unexplained:,}"
            " unexplained"
        )
    if served.records:
        parts = ("given", "repeated", "undone", "missing", "malformed")
        said = "".join(
            f", {getattr(served, name):,} {name}" for name in parts if getattr(served, name)
        )
        console.print(
            f"served: {served.compared:,} of {served.records:,} records compared,"
            f" {served.unexplained:,} unexplained{said}"
        )


def _verdict(console: "Console", report: "ParityReport") -> None:
    totals = report.totals()
    what = f"{totals['values_compared']:,} values of {totals['rows_compared']:,} rows"
    explained = (
        f"{totals['values_late']:,} explained by late ticks, {totals['values_warm_up']:,} by"
        " warm-up"
    )
    if report.unexplained:
        console.print(f"[bold red]✗ {report.unexplained:,} unexplained[/] in {what}; {explained}")
    else:
        console.print(f"[bold green]equal[/]: {what}; {explained}")
