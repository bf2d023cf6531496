"""The table at the end of `tick demo`."""

from rich.console import Console

from cli.reports.predictions_table import print_predictions
from cli.reports.train_report import verdict_table
from cli.tables import build_list, format_optional
from feature_store.online.writer_stats import WriterReport
from stack.demo import DemoReport

SAMPLES_MIN = 20


def print_report(console: Console, report: DemoReport) -> None:
    """Print counts, freshness, the verdict of the gate with its numbers, and a row per symbol."""
    lines = _counts(report) | _freshness(report) | _model(report)
    console.print(build_list(lines, title="from the feed to the features", box=None))
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


def _counts(report: DemoReport) -> dict[str, str]:
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(report.rejected_by_reason.items())
    )
    return {
        "ticks in": f"{report.sent:,}",
        "accepted": f"{report.accepted:,}  (late {report.late:,}, duplicates"
        f" {report.duplicates:,})",
        "rejected": f"{report.rejected:,}  {reasons}",
    }


def _freshness(report: DemoReport) -> dict[str, str]:
    if report.writer is None:
        return {}
    return {
        "feature rows online": f"{report.writer.counters.written:,}",
        "freshness p50 / p99": _format_freshness(report.writer, report.real_time),
    }


def _model(report: DemoReport) -> dict[str, str]:
    promoted = f"tick-model v{report.training.version}"
    return {"model": promoted if report.training.promoted else "none: refused"}


def _format_freshness(writer: WriterReport, real_time: bool) -> str:
    if not real_time or writer.samples < SAMPLES_MIN:
        return "not measured: the feed did not run in real time (SPEED=1 does)"
    p50, p99 = (format_optional(ms, "{:,.0f} ms") for ms in (writer.p50_ms, writer.p99_ms))
    return f"{p50} / {p99}  (end of row → readable, {writer.samples:,} rows)"
