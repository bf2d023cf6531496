"""Causes of differences between live and history: less history, a late tick, an added column.

Pure, except for `read_causes`. A late tick is in silver, hence in history, but not in the live
windows. It changes what sums over its bar, and the return of the bar after it: a window with
returns also depends on the last bar before it. It explains nothing else, however near it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from contracts.durations import SECOND_US
from contracts.features import AGGREGATES, FEATURES, Column
from contracts.windows import LABELS, Level
from feature_store.parity import stored_rows
from feature_store.parity.added_columns import AddedColumns
from lakehouse import tick_scans
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse

_WITH_RETURNS = tuple(a.name for a in AGGREGATES if re.search(r"\br1?\b", a.of))
REACHES_BACK = frozenset(
    f"{feature.name}_{LABELS[w]}"
    for feature in FEATURES
    for w in feature.windows_s
    if any(f"{{{name}}}" in feature.formula + feature.null_if for name in _WITH_RETURNS)
)
NO_ADDED_COLUMNS = AddedColumns()
BAR_ENDS = {"symbol": pl.String(), "end_us": pl.Int64()}


@dataclass(frozen=True)
class Causes:
    """Possible causes at one level.

    The ends (µs) of bars with a late tick, and of all bars, each as `symbol`, `end_us`; the columns
    that were added.
    """

    late_bars: pl.DataFrame
    bars: pl.DataFrame
    added: AddedColumns = NO_ADDED_COLUMNS

    def combine(self, other: "Causes") -> "Causes":
        """The bars of both, and the added columns of this one."""
        late_bars = pl.concat([self.late_bars, other.late_bars]).unique().sort("end_us")
        bars = pl.concat([self.bars, other.bars]).unique().sort("end_us")
        return Causes(late_bars, bars, self.added)

    def warm_up(self, rows: pl.DataFrame, window_s: int) -> pl.Series:
        """Whether the live job had less history than the window, and less than the batch layer."""
        got, expected = rows["warm_s:got"], rows["warm_s"]
        return ((got < expected) & (got < window_s)).fill_null(value=False)

    def new_column(self, rows: pl.DataFrame, column: Column) -> pl.Series:
        """Whether a side has no value because its row is older than the column."""
        before_batch = rows[column.name].is_null() & (column.name in self.added.batch)
        if column.name not in self.added.live.columns:
            return before_batch
        begins = self.added.live.select("symbol", begin_us=column.name)
        begin_us = rows.select("symbol").join(
            begins, on="symbol", how="left", maintain_order="left"
        )["begin_us"]
        return before_batch | (
            rows[f"{column.name}:got"].is_null()
            & (rows["event_time_us"] < begin_us).fill_null(value=True)
        )

    def late(self, rows: pl.DataFrame, column: Column) -> pl.Series:
        """Whether a late tick affects each row's value of `column`.

        It does when it is in the window that ends with the row, or, for a window with returns, in
        the last bar before it.
        """
        begin = pl.col("event_time_us") - column.window_s * SECOND_US
        windows = (
            rows.select("symbol", "event_time_us", begin_us=begin)
            .with_row_index("at")
            .sort("event_time_us")
        )
        matched = _newest(windows, "event_time_us", self.late_bars, "late_us")
        explained = pl.col("late_us") > pl.col("begin_us")
        if column.name in REACHES_BACK:
            matched = _newest(matched, "begin_us", self.bars, "before_us")
            explained |= pl.col("late_us") == pl.col("before_us")
        return matched.sort("at").select(explained.fill_null(value=False)).to_series()

    def in_bar(self, rows: pl.DataFrame) -> pl.Series:
        """Whether each row's own bar has a late tick. If it has no other, there is no live row."""
        late = self.late_bars.select("symbol", event_time_us="end_us", late=pl.lit(value=True))
        matched = rows.select("symbol", "event_time_us").join(
            late, on=["symbol", "event_time_us"], how="left", maintain_order="left"
        )
        return matched["late"].fill_null(value=False)


NOTHING_LATE = Causes(pl.DataFrame(schema=BAR_ENDS), pl.DataFrame(schema=BAR_ENDS))


def read_causes(
    lake: Lakehouse,
    level: Level,
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None = None,
    added: AddedColumns = NO_ADDED_COLUMNS,
) -> Causes:
    """Late ticks and bars of the lakehouse with their end in [from, to) µs."""
    ticks = tick_scans.late(lake, from_us - level.tile_s * SECOND_US, to_us, symbols)
    bars = stored_rows.keys(lake, GOLD, level.view, from_us, to_us, symbols)
    return Causes(
        late_bars(ticks, level),
        bars.select("symbol", end_us="event_time_us").unique().sort("end_us"),
        added,
    )


def late_bars(ticks: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Ends of the bars of a level that contain one of `ticks` (key, event_time_us)."""
    tile_us = level.tile_s * SECOND_US
    end = ((pl.col("event_time_us") // tile_us + 1) * tile_us).alias("end_us")
    return ticks.select(pl.col("key").alias("symbol"), end).unique().sort("end_us")


def _newest(rows: pl.DataFrame, at: str, ends: pl.DataFrame, name: str) -> pl.DataFrame:
    """Adds to `rows`, as column `name`, the newest of `ends` that is not later than the time `at`.

    Rows and ends must be sorted by time, and so is the result.
    """
    named = ends.select("symbol", pl.col("end_us").alias(name))
    return rows.join_asof(
        named,
        left_on=at,
        right_on=name,
        by="symbol",
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    )
