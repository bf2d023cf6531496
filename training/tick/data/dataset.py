"""Training rows from the lakehouse: features as of each decision, and a label free of look-ahead.

A decision is made at each time t of a grid. Features are an as-of join: per level the newest row
that ended by t, if it is fresh enough and was known by the entry. The entry is the first trade
strictly after t + 5 s and the exit the first one strictly after t + 65 s, which is the entry of the
next decision (with the default settings). Because the label starts after a delay, bid-ask bounce of
the last trade before t cannot leak into it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.errors import DatasetError
from contracts.features import COLUMNS, CORE
from contracts.windows import LEVELS

CORE_OF = {
    level.view: [c.name for c in COLUMNS if c.view == level.view and c.core] for level in LEVELS
}
LABEL_COLUMNS = ("y", "entry_price", "exit_price", "entry_us", "exit_us")
SCHEMA: dict[str, type[pl.DataType]] = {
    "symbol": pl.String,
    "decision_us": pl.Int64,
    **dict.fromkeys(CORE, pl.Float64),
    **dict.fromkeys(LABEL_COLUMNS[:3], pl.Float64),
    **dict.fromkeys(LABEL_COLUMNS[3:], pl.Int64),
}


@dataclass(frozen=True)
class TickDataset:
    """Usable rows, sorted by (decision_us, symbol), with the columns of SCHEMA.

    `y` is ln(exit_price / entry_price); times are µs UTC. `dropped` counts the other decisions by
    their first reason. `range_us` [from, to) and `snapshots` (Iceberg table to snapshot id) tell
    where the rows were read; None and empty for rows that are not from the lakehouse.
    """

    frame: pl.DataFrame
    dropped: dict[str, int]
    fingerprint: str
    snapshots: dict[str, int | None] = field(default_factory=dict)
    range_us: tuple[int, int] | None = None

    @property
    def symbols(self) -> list[str]:
        """The symbols that have rows, sorted."""
        return sorted(self.frame["symbol"].unique().to_list())


def feature_matrix(frame: pl.DataFrame) -> NDArray[np.float64]:
    """(rows × CORE) features of a data set's frame, columns in the order of CORE."""
    return np.ascontiguousarray(frame.select(CORE).to_numpy().astype(np.float64, copy=False))


def decision_grid(first_us: int, last_us: int, grid_us: int) -> NDArray[np.int64]:
    """Multiples of `grid_us` in [first_us, last_us)."""
    return np.arange(-(-first_us // grid_us) * grid_us, last_us, grid_us, dtype=np.int64)


def label_decisions(
    decision_us: NDArray[np.int64], ticks: pl.DataFrame, settings: Settings
) -> pl.DataFrame:
    """LABEL_COLUMNS for each decision, from one symbol's ticks sorted by (event time, seq).

    `label_reason` is empty, or tells why a decision has no valid label: `late_entry` (no trade
    within `entry_late_s_max` of the planned entry), `no_exit` (the ticks end before the exit), or
    `halt` (the exit is later than planned by more than `stale_s`, as after a session's end, a
    trading halt or a gap in the data).
    """
    times_us = ticks["event_time_us"].to_numpy()
    prices = ticks["price"].to_numpy()
    planned_entry_us = decision_us + settings.entry_delay_s * SECOND_US
    planned_exit_us = planned_entry_us + settings.horizon_s * SECOND_US
    entry = np.searchsorted(times_us, planned_entry_us, side="right")
    exit_ = np.searchsorted(times_us, planned_exit_us, side="right")
    last = len(times_us) - 1
    entry_row = np.minimum(entry, last)
    exit_row = np.minimum(exit_, last)
    entry_delay_us = times_us[entry_row] - planned_entry_us
    exit_delay_us = times_us[exit_row] - planned_exit_us
    is_late = (entry > last) | (entry_delay_us > settings.entry_late_s_max * SECOND_US)
    is_halted = exit_delay_us > settings.stale_s * SECOND_US
    return pl.DataFrame(
        {
            "decision_us": decision_us,
            "y": np.log(prices[exit_row] / prices[entry_row]),
            "entry_price": prices[entry_row],
            "exit_price": prices[exit_row],
            "entry_us": times_us[entry_row],
            "exit_us": times_us[exit_row],
            "label_reason": np.select(
                [is_late, exit_ > last, is_halted], ["late_entry", "no_exit", "halt"], ""
            ),
        }
    )


def join_features(
    rows: pl.DataFrame, features: Mapping[str, pl.DataFrame], settings: Settings
) -> pl.DataFrame:
    """As-of join of one symbol's `rows` with the core features of every level.

    `row_reason` is empty, or tells why the features of a decision are unusable: `no_row:VIEW`,
    `known_late:VIEW` (not known by the entry) or `null:COLUMN` (not a finite number).
    """
    entry_us = pl.col("decision_us") + settings.entry_delay_s * SECOND_US
    tolerance_us = int(settings.stale_s * SECOND_US)
    reasons: list[pl.Expr] = []
    for view, names in CORE_OF.items():
        level_rows = features[view].select(
            pl.col("event_time_us").alias(f"{view}_us"),
            pl.col("known_at_us").alias(f"{view}_known"),
            *names,
        )
        rows = rows.join_asof(
            level_rows.sort(f"{view}_us"),
            left_on="decision_us",
            right_on=f"{view}_us",
            tolerance=tolerance_us,
        )
        known_at_us = pl.col(f"{view}_known")
        reasons += [
            pl.when(known_at_us.is_null()).then(pl.lit(f"no_row:{view}")),
            pl.when(known_at_us > entry_us).then(pl.lit(f"known_late:{view}")),
        ]
    for name in CORE:
        is_usable = pl.col(name).is_not_null() & pl.col(name).is_finite()
        reasons.append(pl.when(~is_usable).then(pl.lit(f"null:{name}")))
    return rows.with_columns(pl.coalesce(*reasons, pl.lit("")).alias("row_reason"))


def _rows_by_symbol(
    ticks: pl.DataFrame,
    features: Mapping[str, pl.DataFrame],
    from_us: int,
    to_us: int,
    settings: Settings,
) -> Iterator[pl.DataFrame]:
    """One labelled frame per symbol, sorted by symbol.

    One at a time, so that the intermediate columns of one symbol only are in memory.
    """
    features_by_symbol = {
        level.view: features[level.view].partition_by("symbol", as_dict=True) for level in LEVELS
    }
    ticks_by_symbol = ticks.partition_by("key", as_dict=True)
    for (symbol,), symbol_ticks in sorted(ticks_by_symbol.items(), key=lambda item: str(item[0])):
        # A total order, so that the rows do not depend on the order of reading.
        ordered = symbol_ticks.sort("event_time_us", "seq", "price")
        first_us = ordered["event_time_us"][0]
        last_us = ordered["event_time_us"][-1]
        grid = decision_grid(
            max(from_us, first_us), min(to_us, last_us + 1), settings.decision_grid_s * SECOND_US
        )
        rows = label_decisions(grid, ordered, settings).with_columns(pl.lit(symbol).alias("symbol"))
        symbol_features = {
            view: parts.get((symbol,), features[view].clear())
            for view, parts in features_by_symbol.items()
        }
        yield join_features(rows, symbol_features, settings)


def build_dataset(
    ticks: pl.DataFrame,
    features: Mapping[str, pl.DataFrame],
    from_us: int,
    to_us: int,
    settings: Settings,
) -> TickDataset:
    """Rows for the decisions in [from_us, to_us), µs UTC.

    `ticks` has the columns key, event_time_us, seq and price. `features` maps each view to rows
    with symbol, event_time_us (end of the row), known_at_us and the view's columns. Raises
    DatasetError if there are no usable rows.
    """
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: from {from_us} is not before to {to_us}",
            "choose --from earlier than --to",
        )
    if ticks.is_empty():
        raise DatasetError(
            "silver.tick_data holds no ticks in this range",
            "load history first, or widen --from/--to",
        )
    frame = pl.concat(_rows_by_symbol(ticks, features, from_us, to_us, settings))
    reason = (
        pl.when(pl.col("row_reason") != "").then("row_reason").otherwise("label_reason")
    ).alias("reason")
    frame = frame.with_columns(reason)
    is_usable = pl.col("reason") == ""
    usable = (
        frame.filter(is_usable)
        .select(list(SCHEMA))
        .cast(pl.Schema(SCHEMA))
        .sort("decision_us", "symbol")
    )
    dropped = dict(sorted(Counter(frame.filter(~is_usable)["reason"]).items()))
    if usable.is_empty():
        raise DatasetError(
            f"no usable row among {len(frame)} decisions: {dropped}",
            "backfill gold.tick_features for this range",
        )
    return TickDataset(usable, dropped, fingerprint(usable))


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of column names and values; equal on any machine for equal rows."""
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(name.encode() + b"\0")
        column = frame[name]
        if column.dtype == pl.String:
            digest.update("\0".join(column).encode())
        else:
            digest.update(np.ascontiguousarray(column.to_numpy()).tobytes())
    return digest.hexdigest()


def read_dataset(
    settings: Settings, from_us: int, to_us: int, snapshots: Mapping[str, int | None] | None = None
) -> TickDataset:
    """Read the decisions in [from_us, to_us) (µs UTC) from the lakehouse, at pinned snapshots.

    `snapshots` defaults to the current ones; what is written meanwhile is not read. Ticks are read
    beyond `to_us` as far as the last label reaches, features before `from_us` as long as they are
    fresh. Raises DatasetError if a table is empty, a snapshot has expired, the range has more rows
    than `read_rows_max`, or no row is usable.
    """
    # Here: PyIceberg is slow to import, and the rest of this module does not need it.
    from lakehouse.schemas import GOLD, SILVER
    from lakehouse.tables import Lakehouse

    lake = Lakehouse(settings)
    lake.create()
    pinned = dict(lake.snapshot_ids() if snapshots is None else snapshots)
    hint = "load history and backfill first (`tick history`, `tick backfill`)"
    if pinned.get(SILVER) is None:
        raise DatasetError(f"{SILVER} holds no ticks", hint)
    if pinned.get(GOLD) is None:
        raise DatasetError(f"{GOLD} holds no features", hint)
    fresh_us = int(settings.stale_s * SECOND_US)
    label_us = (settings.entry_delay_s + settings.horizon_s) * SECOND_US + fresh_us
    ticks = lake.read_ticks(from_us, to_us + label_us, snapshot=pinned[SILVER], names=["price"])
    ticks = ticks.select("key", "event_time_us", "seq", "price")
    features = {}
    for view, names in CORE_OF.items():
        rows = lake.read_features(
            view, from_us - fresh_us, to_us, snapshot=pinned[GOLD], names=names
        )
        features[view] = rows.select("symbol", "event_time_us", "known_at_us", *names)
    dataset = build_dataset(ticks, features, from_us, to_us, settings)
    return replace(dataset, snapshots=pinned, range_us=(from_us, to_us))
