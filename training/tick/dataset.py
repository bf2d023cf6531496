"""Training rows from the lakehouse: features as of each decision, and the label that bid–ask bounce
cannot leak into.

Decision at time t, on a grid. Each level's newest row that ended by t counts, if it is fresh enough
and was known by the entry. Entry is the first trade strictly after t + 5 s, exit the first one
strictly after t + 65 s: the next decision's entry.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.features import COLUMNS, CORE
from contracts.windows import LEVELS

SECOND_US = 1_000_000
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
class Dataset:
    """Rows that may be trained on and traded, sorted by (decision, symbol), columns as in SCHEMA.

    `y` is ln(exit/entry), times are µs UTC. `dropped` counts every other decision once, by its
    first reason. `range_us` and `snapshots` say where it was read: decisions in [from, to), and the
    state of each Iceberg table (None: not from the lakehouse).
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


def matrix(frame: pl.DataFrame) -> NDArray[np.float64]:
    """(rows × CORE) features of a dataset's frame, columns in the order of
    `contracts.features.CORE`.
    """
    return np.ascontiguousarray(frame.select(CORE).to_numpy().astype(np.float64, copy=False))


def decisions(first_us: int, last_us: int, grid_us: int) -> NDArray[np.int64]:
    """Multiples of the grid in [first, last)."""
    return np.arange(-(-first_us // grid_us) * grid_us, last_us, grid_us, dtype=np.int64)


def label(decision_us: NDArray[np.int64], ticks: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Label of each decision from one symbol's ticks, sorted by (event time, seq); `label_reason`
    says why there is none.

    late_entry: no trade within 30 s of the wanted entry. no_exit: the ticks end first. halt: the
    exit comes so late that features would have been too old to answer in between, which is how a
    session's end, a halt or a gap looks here.
    """
    times, prices = ticks["event_time_us"].to_numpy(), ticks["price"].to_numpy()
    wanted = decision_us + settings.entry_delay_s * SECOND_US
    due = wanted + settings.horizon_s * SECOND_US
    entry, exit_ = (
        np.searchsorted(times, wanted, side="right"),
        np.searchsorted(times, due, side="right"),
    )
    last = len(times) - 1
    entry_at, exit_at = np.minimum(entry, last), np.minimum(exit_, last)
    late = (entry > last) | (times[entry_at] - wanted > settings.entry_late_s_max * SECOND_US)
    halted = times[exit_at] - due > settings.stale_s * SECOND_US
    reason = np.select([late, exit_ > last, halted], ["late_entry", "no_exit", "halt"], "")
    y = np.log(prices[exit_at] / prices[entry_at])
    made = (y, prices[entry_at], prices[exit_at], times[entry_at], times[exit_at])
    return pl.DataFrame(
        {
            "decision_us": decision_us,
            **dict(zip(LABEL_COLUMNS, made, strict=True)),
            "label_reason": reason,
        }
    )


def as_of(
    rows: pl.DataFrame, features: Mapping[str, pl.DataFrame], settings: Settings
) -> pl.DataFrame:
    """`rows` of one symbol with its core features of every level as of `decision_us`, and
    `row_reason` where one is unusable.
    """
    known_by = pl.col("decision_us") + settings.entry_delay_s * SECOND_US
    reasons: list[pl.Expr] = []
    for view, names in CORE_OF.items():
        right = features[view].select(
            pl.col("event_time_us").alias(f"{view}_us"),
            pl.col("known_at_us").alias(f"{view}_known"),
            *names,
        )
        tolerance = int(settings.stale_s * SECOND_US)
        rows = rows.join_asof(
            right.sort(f"{view}_us"),
            left_on="decision_us",
            right_on=f"{view}_us",
            tolerance=tolerance,
        )
        known = pl.col(f"{view}_known")
        reasons += [
            pl.when(known.is_null()).then(pl.lit(f"no_row:{view}")),
            pl.when(known > known_by).then(pl.lit(f"known_late:{view}")),
        ]
    for name in CORE:
        usable = pl.col(name).is_not_null() & pl.col(name).is_finite()
        reasons.append(pl.when(~usable).then(pl.lit(f"null:{name}")))
    return rows.with_columns(pl.coalesce(*reasons, pl.lit("")).alias("row_reason"))


def _parts(
    ticks: pl.DataFrame,
    features: Mapping[str, pl.DataFrame],
    from_us: int,
    to_us: int,
    settings: Settings,
) -> Iterator[pl.DataFrame]:
    """One labelled frame per symbol: a symbol at a time, so that memory grows with the rows and
    nothing else.
    """
    per_view = {
        level.view: features[level.view].partition_by("symbol", as_dict=True) for level in LEVELS
    }
    for (symbol,), own in sorted(
        ticks.partition_by("key", as_dict=True).items(), key=lambda item: str(item[0])
    ):
        own = own.sort(
            "event_time_us", "seq", "price"
        )  # a total order: the same rows in whatever order they were read
        first, last = own["event_time_us"][0], own["event_time_us"][-1]
        grid = decisions(
            max(from_us, first), min(to_us, last + 1), settings.decision_grid_s * SECOND_US
        )
        rows = label(grid, own, settings).with_columns(pl.lit(symbol).alias("symbol"))
        views = {
            view: parts.get((symbol,), features[view].clear()) for view, parts in per_view.items()
        }
        yield as_of(rows, views, settings)


def build(
    ticks: pl.DataFrame,
    features: Mapping[str, pl.DataFrame],
    from_us: int,
    to_us: int,
    settings: Settings,
) -> Dataset:
    """Rows for decisions in [from, to), µs UTC.

    `ticks`: columns key, event_time_us, seq, price. `features`: per view symbol, event_time_us (row
    end), known_at_us and its columns. Raises DatasetError when there is nothing to train on.
    """
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: from {from_us} is not before to {to_us}",
            "give --from earlier than --to",
        )
    if ticks.is_empty():
        raise DatasetError(
            "silver.tick_data holds no ticks in this range",
            "load history first, or widen --from/--to",
        )
    frame = pl.concat(_parts(ticks, features, from_us, to_us, settings))
    frame = frame.with_columns(
        pl.when(pl.col("row_reason") != "")
        .then("row_reason")
        .otherwise("label_reason")
        .alias("reason")
    )
    kept = (
        frame.filter(pl.col("reason") == "")
        .select(list(SCHEMA))
        .cast(pl.Schema(SCHEMA))
        .sort("decision_us", "symbol")
    )
    dropped = dict(sorted(Counter(frame.filter(pl.col("reason") != "")["reason"]).items()))
    if kept.is_empty():
        raise DatasetError(
            f"no usable row among {len(frame)} decisions: {dropped}",
            "backfill gold.tick_features for this range",
        )
    return Dataset(kept, dropped, fingerprint(kept))


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 over names and values, column by column; equal rows give equal digests wherever they
    are built.
    """
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(name.encode() + b"\0")
        column = frame[name]
        values = (
            "\0".join(column).encode()
            if column.dtype == pl.String
            else np.ascontiguousarray(column.to_numpy()).tobytes()
        )
        digest.update(values)
    return digest.hexdigest()


def load(
    settings: Settings, from_us: int, to_us: int, snapshots: Mapping[str, int | None] | None = None
) -> Dataset:
    """The dataset of decisions in [from, to) from the lakehouse, read at `snapshots`; default is
    the present ones.

    Ticks after `to` are read as far as the last label reaches, features before `from` as far as
    they stay usable. Raises DatasetError for an expired snapshot, too. What is written meanwhile is
    not seen: all reads share the pinned snapshots.
    """
    from lakehouse.schemas import GOLD, SILVER
    from lakehouse.tables import Lakehouse

    lake = Lakehouse(settings)
    lake.create()
    pinned = dict(lake.snapshot_ids() if snapshots is None else snapshots)
    if pinned.get(SILVER) is None or pinned.get(GOLD) is None:
        empty = (
            f"{SILVER} holds no ticks"
            if pinned.get(SILVER) is None
            else f"{GOLD} holds no features"
        )
        raise DatasetError(
            empty, "load history and backfill first (`tick history`, `tick backfill`)"
        )
    usable_us = int(settings.stale_s * SECOND_US)
    reach_us = (settings.entry_delay_s + settings.horizon_s) * SECOND_US + usable_us
    ticks = lake.read_ticks(from_us, to_us + reach_us, snapshot=pinned[SILVER])
    ticks = ticks.select("key", "event_time_us", "seq", "price")
    features = {}
    for view, names in CORE_OF.items():
        rows = lake.read_features(view, from_us - usable_us, to_us, snapshot=pinned[GOLD])
        features[view] = rows.select("symbol", "event_time_us", "known_at_us", *names)
    return replace(
        build(ticks, features, from_us, to_us, settings),
        snapshots=pinned,
        range_us=(from_us, to_us),
    )
