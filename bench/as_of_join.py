"""The training join beside the three bare polars joins that it is made of, and beside Feast's own
on a small set.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from bench.figures import Figure
from bench.machine import spent
from contracts.config.settings import Settings
from contracts.features import columns
from contracts.windows import LEVELS
from training.tick import dataset
from training.tick.dataset import CORE_OF, SECOND_US

AIM_SHARE = 0.7
ROWS = 1_000_000  # decisions, one a minute, as many rows of each view as that time has
FEAST_ROWS = 500
START_US = 19_000 * 86_400 * SECOND_US
SYMBOL = "BENCH:AUSD"


def measure(scale: float = 1.0) -> list[Figure]:
    """Decisions joined per second of CPU: ours, bare polars, Feast."""
    count, settings = max(1000, int(ROWS * scale)), Settings()
    decided, history = (
        pl.DataFrame({"decision_us": START_US + 60 * SECOND_US * np.arange(count)}),
        _history(count),
    )
    bare(decided, history, settings)  # thread pools
    with spent() as ours:
        joined = dataset.as_of(decided, history, settings)
    with spent() as polars:
        bare(decided, history, settings)
    few = max(50, int(FEAST_ROWS * min(scale, 1.0)))
    feast_s = _feast(
        decided.head(few),
        {
            view: rows.filter(pl.col("event_time_us") <= decided["decision_us"][few - 1])
            for view, rows in history.items()
        },
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


def bare(
    rows: pl.DataFrame, features: Mapping[str, pl.DataFrame], settings: Settings
) -> pl.DataFrame:
    """What polars alone needs for it."""
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
    """Rows of each view over that time, thinned to at most two million a view."""
    rng, made = np.random.default_rng(2), {}
    for level in LEVELS:
        step_s = max(level.tile_s, minutes * 60 // 2_000_000)
        ends = START_US + SECOND_US * np.arange(0, minutes * 60, step_s)
        names = [column.name for column in columns(level) if column.core]
        values = {name: rng.standard_normal(len(ends)) for name in names}
        made[level.view] = pl.DataFrame({"event_time_us": ends, "known_at_us": ends, **values})
    return made


def _feast(decided: pl.DataFrame, history: Mapping[str, pl.DataFrame]) -> float:
    """CPU seconds of Feast's join, of the work alone: the repository is applied, the files are
    written before.
    """
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
        times = pd.to_datetime(decided["decision_us"].to_numpy(), unit="us", utc=True)
        store, entities = (
            feast_objects.store(settings),
            pd.DataFrame({"symbol": SYMBOL, "event_timestamp": times}),
        )
        with spent() as taken:
            store.get_historical_features(
                entities, features=store.get_feature_service(feast_objects.SERVICE)
            ).to_df()
    return taken.cpu_s
