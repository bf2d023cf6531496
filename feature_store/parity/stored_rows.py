"""Reads the rows of the gold tables that the meter compares.

It reads one time slice after the other, so that memory does not grow with the range.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter

import polars as pl
from pyiceberg.expressions import And, BooleanExpression, EqualTo, In

from contracts.durations import SECOND_US
from contracts.errors import DatasetError
from contracts.windows import LEVELS
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLICE_ROWS = 400_000
SLICES_S = (60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)
SETTLED_US = 120 * SECOND_US  # newer rows may not be committed yet on one of the sides
BAR_US_MAX = max(level.tile_s for level in LEVELS) * SECOND_US
# What an empty table means, and what to do.
NO_LIVE_ROWS = (
    "no live job has published a row",
    "start one with `tick job submit`, and send it ticks with `tick replay`",
)
NO_BATCH_ROWS = ("nothing was backfilled", "compute it with `tick backfill`")


def covered_range(lake: Lakehouse, now_us: int) -> tuple[int, int]:
    """The range that both tables cover, from file statistics, without bars that were still open.

    Raises DatasetError when one of them is empty, or when they have no time in common.
    """
    live = _bounds_us(lake, GOLD_LIVE, NO_LIVE_ROWS)
    batch = _bounds_us(lake, GOLD, NO_BATCH_ROWS)
    # A backfill alongside the live job ends with bars that were not complete: rows within one bar
    # of its end are not compared.
    from_us = max(live[0], batch[0])
    to_us = min(live[1] + 1, batch[1] - BAR_US_MAX, now_us - SETTLED_US)
    if from_us >= to_us:
        hint = (
            "backfill the time of the live job (`tick backfill`), or set --from and --to; the last"
            " two minutes are never compared"
        )
        raise DatasetError("live and backfilled features have no time in common", hint)
    return from_us, to_us


def slices(lake: Lakehouse, from_us: int, to_us: int) -> Iterator[tuple[int, int]]:
    """[from, to) in slices of about SLICE_ROWS rows of both tables, split at round times."""
    count = sum(_count(lake, table, from_us, to_us) for table in (GOLD_LIVE, GOLD))
    fitting = [s for s in SLICES_S if s * SECOND_US * count <= SLICE_ROWS * (to_us - from_us)]
    step_us = max(fitting, default=SLICES_S[0]) * SECOND_US
    inner = range((from_us // step_us + 1) * step_us, to_us, step_us)
    yield from pairwise([from_us, *inner, to_us])


def keys(
    lake: Lakehouse,
    table: str,
    view: str,
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Symbol and event_time_us of a view's rows with their end in [from, to) µs, in no order."""
    row_filter: BooleanExpression = And(tables.between(from_us, to_us), EqualTo("view", view))
    if symbols is not None:
        row_filter = And(row_filter, In("symbol", list(symbols)))
    scan = lake.table(table).scan(row_filter=row_filter, selected_fields=("symbol", "event_time"))
    frame = pl.from_arrow(scan.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame.select("symbol", event_time_us=pl.col("event_time").dt.epoch("us"))


def live_rows(
    lake: Lakehouse, view: str, from_us: int, to_us: int, symbols: Sequence[str] | None
) -> tuple[pl.DataFrame, int]:
    """The live rows of a view, and the number of further rows of the same symbol and time.

    A job that starts without state publishes the last 65 minutes again while it warms up: of such
    rows the one with the most history counts. Of equals, the one with more values counts, because
    the other may be older than a column.
    """
    frame = lake.read_features(view, from_us, to_us, symbols, GOLD_LIVE)
    if frame.select(pl.struct("symbol", "event_time_us").n_unique()).item() == len(frame):
        return frame, 0
    values = pl.sum_horizontal(pl.exclude("symbol", "event_time_us").is_not_null())
    best = frame.sort("warm_s", values, "known_at_us", descending=True, nulls_last=True)
    distinct = best.unique(["symbol", "event_time_us"], keep="first", maintain_order=True).sort(
        "event_time_us", "symbol"
    )
    return distinct, len(frame) - len(distinct)


def _count(lake: Lakehouse, table: str, from_us: int, to_us: int) -> int:
    """Rows of the files that overlap [from, to) µs: an upper bound."""
    files = lake.table(table).scan(row_filter=tables.between(from_us, to_us)).plan_files()
    return sum(task.file.record_count for task in files)


def _bounds_us(lake: Lakehouse, table: str, empty: tuple[str, str]) -> tuple[int, int]:
    """First and last event time (µs) of a table. Raises DatasetError as in `empty` without rows."""
    files = tables.files(lake.table(table), ["readable_metrics"])
    times = [file["readable_metrics"]["event_time"] for file in files]
    if not times:
        message, hint = empty
        raise DatasetError(f"{table} is empty: {message}", hint)
    first = min(map(itemgetter("lower_bound"), times))
    return _us(first), _us(max(map(itemgetter("upper_bound"), times)))


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
