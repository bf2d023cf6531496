"""The training join compared with its three bare polars joins, and with Feast on a small set."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from bench.cost.process import measure_cost
from bench.report.figures import Figure
from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.features import columns
from contracts.windows import LEVELS
from training.tick.data import dataset
from training.tick.data.dataset import CORE_OF

AIM_SHARE = 0.7
ROWS = 1_000_000  # decisions, one a minute; each view has all its rows of that time
FEAST_ROWS = 500
START_US = 19_000 * 86_400 * SECOND_US
SYMBOL = "BENCH:AUSD"


def measure(scale: float = 1.0) -> list[Figure]:
    """Decisions joined per second of CPU: ours, polars alone, Feast."""
    settings = Settings()
    count = max(1000, int(ROWS * scale))
    decisions = pl.DataFrame({"decision_us": START_US + 60 * SECOND_US * np.arange(count)})
    history = _history(count)
    join_with_polars(decisions, history, settings)  # starts the thread pools
    with measure_cost() as ours:
        joined = dataset.join_features(decisions, history, settings)
    with measure_cost() as polars:
        join_with_polars(decisions, history, settings)
    few = max(50, int(FEAST_ROWS * min(scale, 1.0)))
    last_us = decisions["decision_us"][few - 1]
    feast_s = _feast_cpu_s(
        decisions.head(few),
        {view: rows.filter(pl.col("event_time_us") <= last_us) for view, rows in history.items()},
    )
    share = (count / ours.cpu_s) / (count / polars.cpu_s)
    usable = (
        f"{count:,} decisions, {(joined['row_reason'] == '').sum():,} usable; known-at rule and"
        " NULL reasons included"
    )
    return [
        Figure("decisions joined", count / ours.cpu_s, "rows/s CPU", note=usable),
        Figure(
            "three bare join_asof of polars",
            count / polars.cpu_s,
            "rows/s CPU",
            note="the same rows, columns and tolerance",
        ),
        Figure("ours / bare polars", share, "×", at_least=AIM_SHARE),
        Figure(
            "Feast's get_historical_features",
            few / feast_s,
            "rows/s CPU",
            note=f"{few} decisions, the same views, file store",
        ),
    ]


def join_with_polars(
    rows: pl.DataFrame, features: Mapping[str, pl.DataFrame], settings: ServingSettings
) -> pl.DataFrame:
    """The same join with polars alone: one join_asof per view."""
    tolerance = int(settings.stale_s * SECOND_US)
    for view, names in CORE_OF.items():
        right = features[view].select(
            pl.col("event_time_us").alias(f"{view}_us"),
            pl.col("known_at_us").alias(f"{view}_known"),
            *names,
        )
        rows = rows.join_asof(
            right.sort(f"{view}_us"),
            left_on="decision_us",
            right_on=f"{view}_us",
            tolerance=tolerance,
        )
    return rows


def _history(minutes: int) -> dict[str, pl.DataFrame]:
    """Rows of each view over that time, thinned to at most two million per view."""
    rng = np.random.default_rng(2)
    history = {}
    for level in LEVELS:
        step_s = max(level.tile_s, minutes * 60 // 2_000_000)
        ends = START_US + SECOND_US * np.arange(0, minutes * 60, step_s)
        names = [column.name for column in columns(level) if column.core]
        values = {name: rng.standard_normal(len(ends)) for name in names}
        history[level.view] = pl.DataFrame({"event_time_us": ends, "known_at_us": ends, **values})
    return history


def _feast_cpu_s(decisions: pl.DataFrame, history: Mapping[str, pl.DataFrame]) -> float:
    """CPU seconds of Feast's join, without applying the repository and writing the files."""
    import pandas as pd

    from feature_store.feast_repo import objects as feast_objects

    with tempfile.TemporaryDirectory(prefix="tick-bench-") as home:
        settings = Settings(home=Path(home))
        feast_objects.write_yaml(settings)
        for level in LEVELS:
            frame = history[level.view].with_columns(
                pl.from_epoch("event_time_us", time_unit="us")
                .dt.replace_time_zone("UTC")
                .alias("event_timestamp"),
                pl.lit(SYMBOL).alias("symbol"),
                pl.lit(3600).alias("warm_s"),
                *(pl.lit(0.0).alias(column.name) for column in columns(level) if not column.core),
            )
            frame.drop("event_time_us").write_parquet(
                feast_objects.offline_file(settings, level.view)
            )
        feast_objects.apply(settings)
        times = pd.to_datetime(decisions["decision_us"].to_numpy(), unit="us", utc=True)
        store = feast_objects.store(settings)
        entities = pd.DataFrame({"symbol": SYMBOL, "event_timestamp": times})
        with measure_cost() as taken:
            store.get_historical_features(
                entities, features=store.get_feature_service(feast_objects.SERVICE)
            ).to_df()
    return taken.cpu_s
