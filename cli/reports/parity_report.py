"""The printed parity report: totals per view, columns that differ, coverage gaps, examples, and the
verdict.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from cli.tables import build_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from feature_store.parity.column_diff import ColumnDiff, Where
    from feature_store.parity.report import ParityReport, Rows

LISTED_MAX = 10
NEAR = 0.01  # list a column whose error exceeds this share of the tolerance
VIEW_COLUMNS = (
    "view",
    "live",
    "batch",
    "compared",
    "repeated",
    "late",
    "no live job",
    "not backfilled",
    "missing",
    "extra",
    "doubled",
)
DIFF_COLUMNS = (
    "column",
    "compared",
    "differ",
    "late",
    "warm-up",
    "new",
    "unexplained",
    "largest error",
    "where",
)
NAME_WIDTH = 20  # the longest name of a feature
SERVED_COUNTS = ("given", "repeated", "undone", "missing", "malformed")


def print_report(console: "Console", report: "ParityReport") -> None:
    """Print the whole report."""
    console.print(views_table(report))
    for title, diffs in _sections(report):
        notable = [diff for diff in diffs if _is_notable(diff)]
        if notable:
            console.print(columns_table(title, notable))
    _print_coverage(console, report)
    for example in report.examples:
        console.print(
            f"[red]{example.what}[/]: {example.view} {escape(example.symbol)}"
            f" {format_time(example.event_time_us)}",
            soft_wrap=True,
        )
    _print_other_comparisons(console, report)
    _print_verdict(console, report)


def _print_coverage(console: "Console", report: "ParityReport") -> None:
    for gap in report.coverage_gaps[:LISTED_MAX]:
        interval = f"{format_time(gap.from_us)} – {format_time(gap.to_us)}"
        console.print(
            f"[yellow]{gap.kind}[/]: {interval}, {gap.rows:,} rows of the other side",
            soft_wrap=True,
        )
    if len(report.coverage_gaps) > LISTED_MAX:
        console.print(f"… and {len(report.coverage_gaps) - LISTED_MAX} more coverage gaps")
    _print_symbols(console, "loaded, never live", report.never_live)
    _print_symbols(console, "never backfilled", report.never_backfilled)


def _print_symbols(console: "Console", description: str, symbols: "Sequence[str]") -> None:
    if symbols:
        listed = escape(", ".join(symbols[:LISTED_MAX]))
        console.print(f"[yellow]{description}[/]: {listed}", soft_wrap=True)


def views_table(report: "ParityReport") -> "Table":
    """Number of rows per view, by the outcome of their comparison."""
    title = f"Live against history, {format_time(report.from_us)} – {format_time(report.to_us)} UTC"
    rows = map(_view_cells, report.rows.values())
    return build_table(VIEW_COLUMNS, rows, title=title, title_justify="left")


def _view_cells(rows: "Rows") -> tuple[str, ...]:
    return (
        rows.view,
        f"{rows.live:,}",
        f"{rows.batch:,}",
        f"{rows.compared:,}",
        f"{rows.repeated:,}",
        f"{rows.late:,}",
        f"{rows.no_live_job:,}",
        f"{rows.not_backfilled:,}",
        _format_unexplained(rows.missing),
        _format_unexplained(rows.extra),
        _format_unexplained(rows.doubled),
    )


def _format_unexplained(count: int) -> str:
    return f"[bold red]{count:,}[/]" if count else "0"


def columns_table(title: str, diffs: "Iterable[ColumnDiff]") -> "Table":
    """A row per column: its counts of differences by cause, and its largest error."""
    cells = map(_diff_cells, diffs)
    table = build_table(DIFF_COLUMNS, cells, title=title, title_justify="left", padding=0)
    table.columns[0].no_wrap = table.columns[DIFF_COLUMNS.index("unexplained")].no_wrap = True
    table.columns[0].min_width = NAME_WIDTH  # in 80 columns, others are wrapped first
    return table


def _diff_cells(diff: "ColumnDiff") -> tuple[str, ...]:
    return (
        diff.name,
        f"{diff.compared:,}",
        f"{diff.mismatch:,}",
        f"{diff.late:,}",
        f"{diff.warm_up:,}",
        f"{diff.new_column:,}",
        _format_unexplained(diff.unexplained),
        *(_worst_cells(diff.worst) if diff.worst else ("0", "")),
    )


def format_time(time_us: int) -> str:
    """A time as text, rounded up to the whole second at which its row ends."""
    return datetime.fromtimestamp(-(-time_us // 1_000_000), UTC).strftime("%Y-%m-%d %H:%M:%S")


def write_report(folder: Path, report: "ParityReport") -> None:
    """Write the plot and all numbers as parity.png and parity.json."""
    import orjson

    from feature_store.parity.plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    title = (
        f"{format_time(report.from_us)} – {format_time(report.to_us)} UTC,"
        f" {report.unexplained:,} unexplained"
    )
    draw(report, title).savefig(folder / "parity.png", dpi=110)
    (folder / "parity.json").write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))


def _sections(report: "ParityReport") -> "tuple[tuple[str, Iterable[ColumnDiff]], ...]":
    return (
        ("Columns that differ, or nearly", report.diffs.values()),
        ("History against the reference evaluation", report.reference.diffs.values()),
        ("Served against history", report.served.diffs.values()),
    )


def _is_notable(diff: "ColumnDiff") -> bool:
    from feature_store.parity.column_diff import TOLERANCE

    return bool(diff.mismatch) or (
        diff.worst is not None and diff.worst.relative > NEAR * TOLERANCE
    )


def _worst_cells(worst: "Where") -> tuple[str, str]:
    error = "NULL" if worst.expected is None or worst.got is None else f"{worst.relative:.1e}"
    values = f"{_format_value(worst.got)} for {_format_value(worst.expected)}"
    return error, f"{escape(worst.symbol)} {format_time(worst.event_time_us)}: {values}"


def _format_value(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.12g}"


def _print_other_comparisons(console: "Console", report: "ParityReport") -> None:
    reference = report.reference
    if reference.rows:
        console.print(
            f"reference: {reference.rows:,} rows of history evaluated again,"
            f" {reference.unexplained:,} unexplained"
        )
    served = report.served
    if served.records:
        counts = "".join(
            f", {getattr(served, name):,} {name}" for name in SERVED_COUNTS if getattr(served, name)
        )
        console.print(
            f"served: {served.compared:,} of {served.records:,} records compared,"
            f" {served.unexplained:,} unexplained{counts}"
        )


def _print_verdict(console: "Console", report: "ParityReport") -> None:
    totals = report.totals()
    compared = f"{totals['values_compared']:,} values of {totals['rows_compared']:,} rows"
    explained = (
        f"{totals['values_late']:,} explained by late ticks, {totals['values_warm_up']:,} by"
        " warm-up"
    )
    if report.unexplained:
        console.print(
            f"[bold red]✗ {report.unexplained:,} unexplained[/] in {compared}; {explained}"
        )
    else:
        console.print(f"[bold green]equal[/]: {compared}; {explained}")
