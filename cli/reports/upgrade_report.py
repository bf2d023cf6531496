"""The printed result of `tick job upgrade`: what was compared, what differs, and what was done."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape

from cli.reports.parity_report import columns_table
from cli.tables import build_table
from streaming.upgrade.upgrade import Outcome, Route

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streaming.upgrade.comparison import Result

VIEW_COLUMNS = ("view", "compared", "repeated", "late", "only old", "only new")
PLANS = {
    Route.NONE: "the running job already has this program: nothing to do",
    Route.STATE: "the state of the running job fits: the new program would continue from it",
    Route.SHADOW: "the state does not fit: the new program would first run alongside the old one",
}
LISTED_MAX = 20


def print_outcome(console: "Console", outcome: Outcome) -> None:
    """Print the comparison, if there was one, and the verdict."""
    if outcome.result is not None:
        _print_comparison(console, outcome.result)
    console.print(_verdict(outcome))


def _verdict(outcome: Outcome) -> str:
    result = outcome.result
    if outcome.upgraded:
        return (
            f"[green]upgraded[/]: job {outcome.job_id} runs;"
            f" {outcome.without_commit_s:.0f} s without a commit to the lakehouse"
        )
    if result is None:
        return PLANS[outcome.route]
    cause = f"{result.unexplained:,} differences" if result.compared else "no row to compare"
    return (
        f"[red]refused[/]: {cause}; the old job {outcome.job_id} runs as before\n"
        "→ if a feature was changed on purpose: `tick job upgrade --changed FEATURE`"
    )


def _print_comparison(console: "Console", result: "Result") -> None:
    console.print(_views_table(result))
    sections = {
        "columns that differ": result.diffs,
        "changed on purpose": result.changed,
        "added and changed columns against the reference implementation": result.reference,
    }
    for title, diffs in sections.items():
        differing = [diff for diff in diffs.values() if diff.mismatch][:LISTED_MAX]
        if differing:
            console.print(columns_table(title, differing))
    for line in _columns_lines(result):
        console.print(escape(line))


def _views_table(result: "Result") -> "Table":
    rows = (
        (name, *(f"{count:,}" for count in (r.compared, r.repeated, r.late, r.missing, r.extra)))
        for name, r in result.rows.items()
    )
    seconds = (result.to_us - result.from_us) // 1_000_000
    return build_table(VIEW_COLUMNS, rows, title=f"{seconds} s of the old and the new job")


def _columns_lines(result: "Result") -> Iterator[str]:
    total = result.diffs.total()
    yield (
        f"{total.compared:,} values compared: {total.unexplained:,} unexplained,"
        f" {total.late:,} late, {total.warm_up:,} warm-up"
    )
    for name, count in sorted(result.added.items()):
        yield f"added: {name}, {count:,} values"
    if result.sampled:
        yield f"{result.sampled:,} rows compared with the reference implementation"
    if result.removed:
        yield f"removed: {', '.join(sorted(result.removed))}"
