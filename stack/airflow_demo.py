"""The steps of `tick airflow demo`: services, synthetic history, and one run of every DAG."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import ServiceError
from contracts.progress import Progress
from lakehouse import power
from lakehouse.tables import Lakehouse
from stack import platform
from stack.services import airflow_stack
from stack.services.airflow_rest import ENDED_STATES, Client
from streaming.synthetic.history import load_synthetic
from streaming.synthetic.market import FIXTURE
from training.power import files
from training.power.files import STEP_US, ZONES
from training.run.provenance import iso

TICK_TRAINING = "tick_model_training"
POWER_TRAINING = "power_lgbm_training"
# These start after the tick training, because some need its model.
LATER_DAGS = (
    "tick_feature_backfill",
    "tick_daily_statistics",
    "tick_drift_retrain",
    "platform_maintenance",
    POWER_TRAINING,
)
VISION_DAGS = ("mnist_cnn_training", "cifar10_cnn_training")  # not part of the demo
TICK_DAYS = 19
POWER_DAYS = 130
BACKFILL_DAYS = 3
TIMEOUT_S = 900.0
POLL_S = 2.0


def run_airflow_demo(settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """1. Start Flink, load history, start Airflow.  2. Weekly tick training.  3. The other DAGs.
    4. A backfill of the power training. Returns all runs. Raises ServiceError.
    """
    today_us = now_us() // DAY_US * DAY_US
    platform.up(settings, ("jobmanager", "taskmanager"), progress)
    load_synthetic(settings, FIXTURE, today_us - TICK_DAYS * DAY_US, TICK_DAYS, progress)
    readings = _synthetic_readings(today_us - POWER_DAYS * DAY_US)
    power.store(Lakehouse(settings), files.to_silver(readings, "made up"))
    airflow_stack.up(settings, progress)
    client = Client(settings)
    _wait_until(
        lambda: {TICK_TRAINING, *LATER_DAGS} <= {dag["dag_id"] for dag in client.dags()},
        "not all DAGs are imported",
    )
    for step, dags in enumerate(((TICK_TRAINING,), LATER_DAGS)):
        progress("scheduled runs", step, 3)
        _run_dags(client, dags)
    progress("scheduled runs", 2, 3)
    _backfill_power(client, today_us)
    progress("scheduled runs", 3, 3)
    return client.runs()


def _run_dags(client: Client, dags: tuple[str, ...]) -> None:
    """Unpause DAGs, and wait until their scheduled runs have ended."""
    for dag in dags:
        client.unpause(dag)
    for dag in dags:
        _wait_until(lambda dag=dag: _has_ended(client, dag), f"{dag} has not ended")  # type: ignore[misc]


def _has_ended(client: Client, dag: str) -> bool:
    runs = client.runs(dag)
    return bool(runs) and all(run["state"] in ENDED_STATES for run in runs)


def _backfill_power(client: Client, today_us: int) -> None:
    first_us = today_us - (BACKFILL_DAYS + 3) * DAY_US
    last_us = today_us - 3 * DAY_US - 1_000_000
    backfill_id = client.create_backfill(POWER_TRAINING, iso(first_us), iso(last_us), {})
    _wait_until(
        lambda: client.backfill_has_completed(backfill_id), "the backfill has not completed"
    )


def _wait_until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{failure} after {TIMEOUT_S:.0f} s",
                "see `tick airflow status` and the logs below TICK_HOME/airflow-demo",
            )
        time.sleep(POLL_S)


def _synthetic_readings(start_us: int) -> pl.DataFrame:
    """A daily wave with noise: the mean of seven days forecasts it better than one day does."""
    rng = np.random.default_rng(1)
    times = np.arange(start_us, start_us + POWER_DAYS * DAY_US, STEP_US)
    wave = 20_000 + 5_000 * np.sin(2 * np.pi * (times % DAY_US) / DAY_US)
    return pl.DataFrame(
        {"event_time_us": times} | {zone: wave + rng.normal(0, 500, len(times)) for zone in ZONES}
    )
