"""The platform of a run: free ports, a temporary home, a supervisor, history and a model."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestRegressor

from bench.platform import api, services
from contracts.clock import now_us
from contracts.config import paths
from contracts.config.settings import Settings
from contracts.durations import HOUR_US, MINUTE_US, SECOND_US
from contracts.features import CORE
from lakehouse.tables import Lakehouse
from models.export.sklearn_estimator import export_estimator
from stack import platform
from streaming.job import job
from streaming.synthetic.market import Exchange, Market, generate
from tests.chaos.faults import CLIENTS_MAX

HISTORY_US = HOUR_US + 4 * MINUTE_US  # every window is full when the run begins
HISTORY_RATE = 0.5  # ticks per second and symbol
CHECKPOINT_S = 2.0
# Many kills of the same service in a row are meant here, and must not end in FAILED.
SETTINGS = {
    "checkpoint_interval_s": CHECKPOINT_S,
    "supervise_attempts_max": 1000,
    "supervise_pause_s_max": 1.0,
    "restarts_max": 1000,
    "api_requests_max": CLIENTS_MAX,
    "flink_taskmanager_mb": 2048,
    "flink_jobmanager_mb": 896,
    "redis_memory_mb": 256,
}
SEED = 7


@contextmanager
def started(exchange: Exchange, logs: Path) -> Iterator[Settings]:
    """The platform with a live job, writer, API, maintenance and supervisor.

    It is stopped at the end, also after an error, and its logs are copied to `logs`. Raises
    ServiceError or JobError if it does not start.
    """
    with services.run_services(platform.PLATFORM, **SETTINGS) as settings:
        try:
            _prepare(settings, exchange)
            yield settings
        finally:
            shutil.copytree(paths.logs(settings), logs, dirs_exist_ok=True)


def _prepare(settings: Settings, exchange: Exchange) -> None:
    _load_history(settings, exchange)
    job.submit_fresh(settings, now_us())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow and scikit-learn warn of each other
        _promote_model(settings)
    platform.start_all(settings, ("writer", "api", "maintenance"))
    platform.supervise(settings)


def _load_history(settings: Settings, exchange: Exchange) -> None:
    """An hour of the same symbols, with trade ids that the run does not use."""
    slow = replace(exchange, rate=HISTORY_RATE)
    begin_us = (now_us() - HISTORY_US) // SECOND_US * SECOND_US
    ticks = pl.concat(generate(slow, begin_us, HISTORY_US / SECOND_US, Market(slow, begin_us)))
    Lakehouse(settings).create()
    Lakehouse(settings).append_ticks(ticks)


def _promote_model(settings: Settings) -> None:
    rows = np.random.default_rng(SEED).normal(size=(400, len(CORE))).astype(np.float32)
    forest = RandomForestRegressor(n_estimators=5, random_state=SEED)
    forest.fit(rows, rows[:, 0] * 1e-4)
    folder = settings.root / "forest"
    api.promote(settings, export_estimator(forest, rows, folder, seed=SEED, **api.MODEL_FACTS))
