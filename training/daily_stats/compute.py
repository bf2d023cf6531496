"""Daily statistics of a range: reads silver day by day, replaces the rows of the daily tables.

Then exports Feast's daily view. Memory is that of one day's ticks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from contracts.clock import now_us
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.durations import DAY_US
from contracts.errors import DatasetError
from contracts.progress import Progress, silent
from feature_store.feast_repo.offline import export_daily
from lakehouse import daily
from lakehouse.schemas import DAILY
from lakehouse.tables import Lakehouse
from training.daily_stats import rows

# Days per commit: committing all tables takes as long as computing several days.
BATCH_DAYS = 16
BATCH_ROWS_MAX = 500_000


@dataclass
class DailyStatsReport:
    """What was computed for the whole days in [from_us, to_us), µs UTC. Days are ISO dates.

    `days` have statistics, `holes` no ticks, `unfinished` were not over. `missing` are requested
    symbols without ticks on any day. `rows` is the number of rows by table.
    """

    from_us: int
    to_us: int
    days: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def compute_days(
    settings: LakehouseSettings,
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None = None,
    progress: Progress = silent,
    at_us: int | None = None,
) -> DailyStatsReport:
    """Compute and replace the statistics of each UTC day that [from_us, to_us) overlaps.

    Days that are not over by `at_us` (default: now) are left out. With `symbols` (VENUE:SYMBOL),
    the rows of other symbols stay, and correlations are among these symbols only.

    Safe to repeat: equal ticks give equal rows. After a kill each table has whole days, some of
    them not yet replaced; run it again. Raises DatasetError for an empty range.
    """
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: from {from_us} is not before to {to_us}",
            "choose --from earlier than --to",
        )
    now = now_us() if at_us is None else at_us
    first_us = from_us // DAY_US * DAY_US
    requested_end_us = -(-to_us // DAY_US) * DAY_US
    end_us = max(first_us, min(requested_end_us, now // DAY_US * DAY_US))
    report = DailyStatsReport(
        first_us,
        end_us,
        unfinished=[iso_date(day) for day in range(end_us, requested_end_us, DAY_US)],
    )
    lake = Lakehouse(settings)
    lake.create()
    symbols_with_ticks: set[str] = set()
    for batch_from_us, batch_to_us, frames in _compute_batches(lake, report, symbols, progress):
        daily.replace(lake, frames, batch_from_us, batch_to_us, symbols)
        symbols_with_ticks |= set(frames[DAILY]["symbol"])
        for table, frame in frames.items():
            report.rows[table] = report.rows.get(table, 0) + len(frame)
    export_daily(settings)
    report.missing = sorted(set(symbols or ()) - symbols_with_ticks)
    return report


def _compute_batches(
    lake: Lakehouse,
    report: DailyStatsReport,
    symbols: Sequence[str] | None,
    progress: Progress,
) -> Iterator[tuple[int, int, dict[str, pl.DataFrame]]]:
    """(first day, end, rows by table) of several days.

    Days without ticks are included, so that their old rows are deleted.
    """
    batch_from_us = report.from_us
    batch = rows.empty_tables()
    total = (report.to_us - report.from_us) // DAY_US
    for done, day_us in enumerate(range(report.from_us, report.to_us, DAY_US), start=1):
        day_end_us = day_us + DAY_US
        ticks = lake.read_ticks(day_us, day_end_us, symbols)
        (report.holes if ticks.is_empty() else report.days).append(iso_date(day_us))
        day_rows = rows.daily_rows(ticks, day_us)
        batch = {table: pl.concat([batch[table], frame]) for table, frame in day_rows.items()}
        progress("daily statistics", done, total)
        is_full = (
            day_end_us - batch_from_us >= BATCH_DAYS * DAY_US
            or sum(map(len, batch.values())) >= BATCH_ROWS_MAX
        )
        if is_full or done == total:
            yield batch_from_us, day_end_us, batch
            batch_from_us = day_end_us
            batch = rows.empty_tables()


def iso_date(time_us: int) -> str:
    """UTC date of a time (µs UTC) in ISO format."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
