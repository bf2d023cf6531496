"""The table at the end of `tick demo`."""

from rich.console import Console
from rich.table import Table

from cli.demo_steps import Outcome
from cli.reports.train_report import verdict_table
from cli.serve import show_results
from feature_store.online.writer_stats import WriterReport

SAMPLES_MIN = 20


def show(console: Console, outcome: Outcome) -> None:
    """Counts, freshness, the gate's verdict with its numbers, and one line per symbol."""
    table = Table(title="from the feed to the features", show_header=False, box=None)
    for name, value in _lines(outcome):
        table.add_row(name, value)
    console.print(table)
    console.print(verdict_table(outcome.trained.verdict))
    if outcome.trained.synthetic:
        console.print(
            "  [dim]trained on a planted signal: no impact, no capacity; such Sharpes do not exist"
            " in a market[/]"
        )
    show_results(console, outcome.predictions)
    if not outcome.complete:
        console.print("[bold red]the numbers do not add up, or no model was promoted: see above[/]")


def _lines(outcome: Outcome) -> list[tuple[str, str]]:
    features, reasons = (
        outcome.features,
        ", ".join(f"{reason} {count:,}" for reason, count in sorted(outcome.reasons.items())),
    )
    lines = [
        ("ticks in", f"{outcome.sent:,}"),
        (
            "accepted",
            f"{outcome.accepted:,}  (late {outcome.late:,}, duplicates {outcome.duplicates:,})",
        ),
        ("rejected", f"{outcome.rejected:,}  {reasons}"),
    ]
    if features:
        lines.append(("feature rows online", f"{features.counters.written:,}"))
        lines.append(("freshness p50 / p99", _freshness(features, outcome.timely)))
    lines.append(
        (
            "model",
            (
                f"tick-model v{outcome.trained.version}"
                if outcome.trained.promoted
                else "none: refused"
            ),
        )
    )
    return lines


def _freshness(report: WriterReport, timely: bool) -> str:
    if not timely or report.samples < SAMPLES_MIN:
        return "not measured: the feed ran faster than time (SPEED=1 measures it)"
    return (
        f"{_ms(report.p50_ms)} / {_ms(report.p99_ms)}  (end of row → readable, {report.samples:,}"
        " rows)"
    )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
