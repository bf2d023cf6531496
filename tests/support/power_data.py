"""The real file of Tetouan's power, files like it, and settings with a separate lakehouse."""

from pathlib import Path

import numpy as np
import polars as pl

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from tests.support import real_data
from training.power.files import STEP_US

T0 = 1_483_228_800_000_000  # 2017-01-01
CSV_HEADER = (
    "DateTime,Temperature,Humidity,Wind Speed,general diffuse flows,diffuse flows,"
    "Zone 1 Power Consumption,Zone 2  Power Consumption,Zone 3  Power Consumption"
)


def real() -> Path:
    """The real file."""
    return real_data.real("power/tetouan_2017_10min.parquet")


def settings_in(home: Path, mlflow_home: Path, name: str, **more) -> Settings:
    """Settings with a lakehouse below `home` and a model name and experiment of this test alone.

    All tests share the MLflow database.
    """
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    uri = f"sqlite:///{mlflow_home}/mlflow/mlflow.db"
    return Settings(
        home=home,
        mlflow_tracking_uri=uri,
        power_model_name=name,
        power_experiment=name,
        train_threads=1,
        **more,
    )


def readings(days: int = 3, seed: int = 1, start_us: int = T0) -> pl.DataFrame:
    """Synthetic readings in the form of `files.read_readings`: a daily wave and noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(start_us, start_us + days * DAY_US, STEP_US)
    wave = 20_000 + 5_000 * np.sin(2 * np.pi * (times % DAY_US) / DAY_US)
    return pl.DataFrame(
        {"event_time_us": times}
        | {f"zone{i}": wave + rng.normal(0, 500, len(times)) for i in (1, 2, 3)}
    )


def table(readings_: pl.DataFrame) -> pl.DataFrame:
    """The readings in the columns of the shared Parquet file."""
    time = pl.from_epoch("event_time_us", time_unit="us").alias("Date")
    return readings_.select(time, *(pl.col(f"zone{i}").alias(f"Zone{i}") for i in (1, 2, 3)))


def csv(readings_: pl.DataFrame) -> str:
    """The readings in the CSV format of the public repository."""
    stamps = readings_.select(pl.from_epoch("event_time_us", time_unit="us")).to_series()
    lines = [
        f"{t.month}/{t.day}/{t.year}"
        f" {t.hour}:{t.minute:02},6.5,73.8,0.083,0.051,0.119,{a!r},{b!r},{c!r}"
        for t, (_, a, b, c) in zip(stamps, readings_.iter_rows(), strict=True)
    ]
    return "\n".join([CSV_HEADER, *lines]) + "\n"
