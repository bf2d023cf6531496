"""The table at the end of `tick demo`."""

from rich.console import Console
from rich.table import Table

from cli.reports.predictions_table import print_predictions
from cli.reports.train_report import verdict_table
from feature_store.online.writer_stats import WriterReport
from stack.demo import DemoReport

SAMPLES_MIN = 20


def print_report(console: Console, report: DemoReport) -> None:
    """Print counts, freshness, the verdict of the gate with its numbers, and a row per symbol."""
    table = Table(title="from the feed to the features", show_header=False, box=None)
    for label, value in _rows(report):
        table.add_row(label, value)
    console.print(table)
    console.print(verdict_table(report.training.verdict))
    if report.training.synthetic:
        console.print(
            "  [dim]trained on a planted signal without market impact and capacity limits: no real"
            " market has such a Sharpe[/]"
        )
    print_predictions(console, report.predictions)
    if not report.complete:
        console.print(
            "[bold red]ticks are missing, a symbol has no prediction, or no model was promoted: see"
            " above[/]"
        )


def _rows(report: DemoReport) -> list[tuple[str, str]]:
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(report.rejected_by_reason.items())
    )
    rows = [
        ("ticks in", f"{report.sent:,}"),
        (
            "accepted",
            f"{report.accepted:,}  (late {report.late:,}, duplicates {report.duplicates:,})",
        ),
        ("rejected", f"{report.rejected:,}  {reasons}"),
    ]
    if report.writer:
        rows.append(("feature rows online", f"{report.writer.counters.written:,}"))
        rows.append(("freshness p50 / p99", _format_freshness(report.writer, report.real_time)))
    model = (
        f"tick-model v{report.training.version}" if report.training.promoted else "none: refused"
    )
    return [*rows, ("model", model)]


def _format_freshness(writer: WriterReport, real_time: bool) -> str:
    if not real_time or writer.samples < SAMPLES_MIN:
        return "not measured: the feed did not run in real time (SPEED=1 does)"
    return (
        f"{_format_ms(writer.p50_ms)} / {_format_ms(writer.p99_ms)}  (end of row → readable,"
        f" {writer.samples:,} rows)"
    )


def _format_ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
