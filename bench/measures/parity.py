"""Time of `tick parity` for a million rows of both gold tables, compared with only reading them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from pyiceberg.io.pyarrow import schema_to_pyarrow

from bench.cost.process import Cost, measure_cost, peak_memory_mib
from bench.errors import BenchError
from bench.report.figures import Figure
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings
from contracts.durations import HOUR_US
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.parity import meter, stored_rows
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse

AIM_S = 60
HOURS, SYMBOLS = 5, 50  # 1,000,000 rows: 50 symbols that trade in each second
START_US = 19_800 * 24 * HOUR_US
NOW_US = START_US + 24 * HOUR_US


def measure(scale: float = 1.0) -> list[Figure]:
    """Time to compare equal tables, tables that differ in 1 % of the rows, and to read both."""
    with tempfile.TemporaryDirectory(prefix="tick-bench-") as folder:
        equal, odd = (
            _fill_tables(Path(folder) / name, max(1, int(SYMBOLS * scale)), share)
            for name, share in (("equal", 0.0), ("odd", 0.01))
        )
        _, small = _compare(equal, START_US + HOUR_US // 4)  # imports and thread pools
        count, took = _compare(equal)
        _, took_odd = _compare(odd)
        with measure_cost() as reading:
            _read_tables(equal)
    note = (
        f"{count:,} rows on each side, {HOURS} hours; peak memory of the whole bench"
        f" {peak_memory_mib():,.0f} MiB"
    )
    return [
        Figure(
            "a million rows, by the clock", took.wall_s * 1e6 / count, "s", at_most=AIM_S, note=note
        ),
        Figure("a million rows, CPU", took.cpu_s * 1e6 / count, "s CPU"),
        Figure(
            "the same with 1 % of the rows different, CPU",
            took_odd.cpu_s * 1e6 / count,
            "s CPU",
            note="the cause of each difference is determined",
        ),
        Figure(
            "only reading both tables, CPU",
            reading.cpu_s * 1e6 / count,
            "s CPU",
            note="the same slices",
        ),
        Figure("CPU of parity / reading", took.cpu_s / reading.cpu_s, "×"),
        Figure("a quarter of an hour, by the clock", small.wall_s, "s", note="including imports"),
    ]


def _fill_tables(home: Path, symbols: int, share: float) -> Settings:
    """Create a lakehouse in which `share` of the live rows differ from history in one column."""
    settings, rng = Settings(home=home), np.random.default_rng(1)
    Lakehouse(settings).create()
    for frame in _hours(symbols, rng):
        _append(settings, GOLD, frame)
        is_wrong = pl.Series(rng.random(len(frame)) < share)
        volume = (
            pl.when(is_wrong)
            .then(pl.col("volume_1m") * 2)
            .otherwise(pl.col("volume_1m"))
            .alias("volume_1m")
        )
        _append(
            settings,
            GOLD_LIVE,
            frame.with_columns(volume) if "volume_1m" in frame.columns else frame,
        )
    return settings


def _hours(symbols: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Rows of one view and hour, with random features."""
    names = [f"BENCH:S{i:03}" for i in range(symbols)]
    for begin_us in range(START_US, START_US + HOURS * HOUR_US, HOUR_US):
        for level in LEVELS:
            ends = np.arange(level.tile_s, 3601, level.tile_s) * 1_000_000 + begin_us
            count = len(ends) * symbols
            keys = {
                "view": [level.view] * count,
                "symbol": names * len(ends),
                "event_time": np.repeat(ends, symbols),
            }
            keys |= {"known_at_us": keys["event_time"], "warm_s": [3600] * count}
            values = {column.name: rng.standard_normal(count) for column in columns(level)}
            yield pl.DataFrame(keys | values).with_columns(
                pl.from_epoch("event_time", "us").dt.replace_time_zone("UTC")
            )


def _append(settings: LakehouseSettings, table: str, frame: pl.DataFrame) -> None:
    stored = Lakehouse(settings).table(table)
    target = schema_to_pyarrow(stored.schema(), include_field_ids=False)
    missing = [
        pl.lit(None, dtype=pl.Float64).alias(name)
        for name in target.names
        if name not in frame.columns
    ]
    tables.append(stored, frame.with_columns(missing).select(target.names).to_arrow().cast(target))


def _compare(settings: Settings, to_us: int = START_US + HOURS * HOUR_US + 1) -> tuple[int, Cost]:
    with measure_cost() as cost:
        report = meter.measure(settings, START_US, to_us, NOW_US)
    count = sum(view.compared for view in report.rows.values())
    if count == 0 or any(view.unexplained for view in report.rows.values()):
        raise BenchError(
            "the parity meter did not match the rows of both tables",
            "run its tests: `pytest tests/feature_store/parity`",
        )
    return count, cost


def _read_tables(settings: LakehouseSettings) -> None:
    for first_us, last_us in stored_rows.slices(
        Lakehouse(settings), START_US, START_US + HOURS * HOUR_US + 1
    ):
        for level in LEVELS:
            for table in (GOLD, GOLD_LIVE):
                Lakehouse(settings).read_features(level.view, first_us, last_us, table=table)
