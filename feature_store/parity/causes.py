"""Why a live value may differ from history's, by name: less history, a tick that came late, a
column that is new. Pure, but for `read`.

A late tick is in silver, hence in history, and not in the live windows. It changes what sums over
its bar, and the return of the bar after it: a window with returns also reaches the last bar before
it. It explains nothing else, however near it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from contracts.config.settings import Settings
from contracts.features import AGGREGATES, FEATURES, Column
from contracts.windows import LABELS, Level
from feature_store.parity import rows as stored
from feature_store.parity.added_columns import Young
from lakehouse import tick_scans
from lakehouse.schemas import GOLD

SECOND_US = 1_000_000
_WITH_RETURNS = tuple(a.name for a in AGGREGATES if re.search(r"\br1?\b", a.of))
REACHES_BACK = frozenset(
    f"{feature.name}_{LABELS[w]}"
    for feature in FEATURES
    for w in feature.windows_s
    if any(f"{{{name}}}" in feature.formula + feature.null_if for name in _WITH_RETURNS)
)
NO_YOUNG = Young()
BAR_ENDS = {"symbol": pl.String(), "end_us": pl.Int64()}


@dataclass(frozen=True)
class Causes:
    """Of one level: ends (µs) of bars that hold a late tick, and of all bars, each as `symbol`,
    `end_us`; columns that are new.
    """

    late_bars: pl.DataFrame
    bars: pl.DataFrame
    young: Young = NO_YOUNG

    def joined(self, other: "Causes") -> "Causes":
        """With the bars of both."""
        late_bars, bars = (
            pl.concat(pair).unique().sort("end_us")
            for pair in ((self.late_bars, other.late_bars), (self.bars, other.bars))
        )
        return Causes(late_bars, bars, self.young)

    def warm_up(self, rows: pl.DataFrame, window_s: int) -> pl.Series:
        """Whether the live job had less history than the window, and less than the batch layer."""
        got, expected = rows["warm_s:got"], rows["warm_s"]
        return ((got < expected) & (got < window_s)).fill_null(value=False)

    def new_column(self, rows: pl.DataFrame, column: Column) -> pl.Series:
        """Whether a side has no value because its row was written before there was such a
        column."""
        old = rows[column.name].is_null() & (column.name in self.young.batch)
        begun = self.young.live.get(column.name)
        if begun is None:
            return old
        begin_us = rows.select("symbol").join(
            begun, on="symbol", how="left", maintain_order="left"
        )["begin_us"]
        return old | (
            rows[f"{column.name}:got"].is_null()
            & (rows["event_time_us"] < begin_us).fill_null(value=True)
        )

    def late(self, rows: pl.DataFrame, column: Column) -> pl.Series:
        """Whether a late tick lies in the window of `column` that ends with each row, or in the
        last bar before a window with returns.
        """
        begin = pl.col("event_time_us") - column.window_s * SECOND_US
        asked = (
            rows.select("symbol", "event_time_us", begin_us=begin)
            .with_row_index("at")
            .sort("event_time_us")
        )
        found = _newest(asked, "event_time_us", self.late_bars, "late_us")
        explained = pl.col("late_us") > pl.col("begin_us")
        if column.name in REACHES_BACK:
            found = _newest(found, "begin_us", self.bars, "before_us")
            explained |= pl.col("late_us") == pl.col("before_us")
        return found.sort("at").select(explained.fill_null(value=False)).to_series()

    def in_bar(self, rows: pl.DataFrame) -> pl.Series:
        """Whether the bar of each row itself holds a late tick: it may hold no other, and then
        there is no live row.
        """
        own = self.late_bars.select("symbol", event_time_us="end_us", late=pl.lit(value=True))
        found = rows.select("symbol", "event_time_us").join(
            own, on=["symbol", "event_time_us"], how="left", maintain_order="left"
        )
        return found["late"].fill_null(value=False)


NOTHING_LATE = Causes(pl.DataFrame(schema=BAR_ENDS), pl.DataFrame(schema=BAR_ENDS))


def read(
    settings: Settings,
    level: Level,
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None = None,
    young: Young = NO_YOUNG,
) -> Causes:
    """What the lakehouse knows of late ticks and bars with their end in [from, to) µs."""
    ticks = tick_scans.late(settings, from_us - level.tile_s * SECOND_US, to_us, symbols)
    bars = stored.keys(settings, GOLD, level.view, from_us, to_us, symbols)
    return Causes(
        late_bars(ticks, level),
        bars.select("symbol", end_us="event_time_us").unique().sort("end_us"),
        young,
    )


def late_bars(ticks: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Ends of the bars of a level that hold one of `ticks` (key, event_time_us)."""
    tile_us = level.tile_s * SECOND_US
    end = ((pl.col("event_time_us") // tile_us + 1) * tile_us).alias("end_us")
    return ticks.select(pl.col("key").alias("symbol"), end).unique().sort("end_us")


def _newest(rows: pl.DataFrame, at: str, ends: pl.DataFrame, name: str) -> pl.DataFrame:
    """Adds the newest of `ends` that is not after the time `at`; rows and ends are sorted by time,
    and so is the answer.
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
