"""Daily statistics over a range: silver day by day → the daily tables → the file of Feast's daily
view. Memory is a day's ticks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.progress import Progress, silent
from feature_store.feast_repo.offline import export_daily
from lakehouse import daily
from lakehouse.schemas import DAILY
from lakehouse.tables import Lakehouse
from training.daily_stats import rows
from training.daily_stats.trades import DAY_US

DAYS_AT_ONCE = 16  # a commit of every table costs as much as computing some of the days it carries
ROWS_AT_ONCE = 500_000


@dataclass
class Report:
    """What was computed. Days are ISO dates: `days` have statistics, `holes` no ticks, `unfinished`
    ones were not over yet.

    `missing`: symbols asked for that no day had. `rows` by table. `from_us`, `to_us`: the whole
    days that were looked at.
    """

    from_us: int
    to_us: int
    days: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def run(
    settings: Settings,
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None = None,
    progress: Progress = silent,
    at_us: int | None = None,
) -> Report:
    """Compute and replace the statistics of every UTC day that [from, to) µs touches and that is
    over by `at_us` (default: now).

    With `symbols` (VENUE:SYMBOL) the rows of others stay, and correlations are among these alone.
    Safe to repeat: the same ticks give the same rows. A run that is killed leaves each table with
    whole days, and some days as they were; run it again. Raises DatasetError for an empty range.
    """
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: from {from_us} is not before to {to_us}",
            "give --from earlier than --to",
        )
    first, wanted = from_us // DAY_US * DAY_US, -(-to_us // DAY_US) * DAY_US
    last = min(wanted, (now_us() if at_us is None else at_us) // DAY_US * DAY_US)
    report = Report(
        first,
        max(first, last),
        unfinished=[iso(day) for day in range(max(first, last), wanted, DAY_US)],
    )
    Lakehouse(settings).create()
    seen: set[str] = set()
    for begin, end, frames in _batches(settings, report, symbols, progress):
        daily.replace(Lakehouse(settings), frames, begin, end, symbols)
        seen |= set(frames[DAILY]["symbol"])
        for table, frame in frames.items():
            report.rows[table] = report.rows.get(table, 0) + len(frame)
    export_daily(settings)
    report.missing = sorted(set(symbols or ()) - seen)
    return report


def _batches(
    settings: Settings, report: Report, symbols: Sequence[str] | None, progress: Progress
) -> Iterator[tuple[int, int, dict[str, pl.DataFrame]]]:
    """(first day, end, rows by table) of some days at a time; a day without ticks is in it too, so
    that what it held goes.
    """
    begin, held = report.from_us, rows.empty()
    total = (report.to_us - report.from_us) // DAY_US
    for done, day in enumerate(range(report.from_us, report.to_us, DAY_US), start=1):
        ticks = Lakehouse(settings).read_ticks(day, day + DAY_US, symbols)
        (report.holes if ticks.is_empty() else report.days).append(iso(day))
        held = {
            table: pl.concat([held[table], frame]) for table, frame in rows.of(ticks, day).items()
        }
        progress("daily statistics", done, total)
        if (
            done == total
            or (day + DAY_US - begin) >= DAYS_AT_ONCE * DAY_US
            or sum(map(len, held.values())) >= ROWS_AT_ONCE
        ):
            yield begin, day + DAY_US, held
            begin, held = day + DAY_US, rows.empty()


def iso(time_us: int) -> str:
    """The UTC date of a time."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
