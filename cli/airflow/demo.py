"""`tick airflow demo`: every DAG once, by the real scheduler, in a separate folder; a table of
runs at the end.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import polars as pl

    from contracts.config.settings import Settings
    from stack.services.airflow_rest import Client

DAY_US = 86_400_000_000
TICK, POWER = "tick_model_training", "power_lgbm_training"
AFTER = (
    "tick_feature_backfill",
    "tick_daily_statistics",
    "tick_drift_retrain",
    "platform_maintenance",
    POWER,
)
NETWORKS = ("mnist_cnn_training", "cifar10_cnn_training")
TICK_DAYS, POWER_DAYS, BACKFILL_DAYS = 19, 130, 3
LIMIT_S, POLL_S = 900.0, 2.0


def demo() -> None:
    """Start Flink and Airflow, make history, run every DAG, print a table, stop everything.

    State goes to TICK_HOME/airflow-demo, which is emptied first. The signal in its ticks is
    planted, its power is made up. Networks are left out: they need `make install-vision` and their
    data. Exit code 1 when a run failed.
    """
    from rich.console import Console

    from cli import isolated_home
    from cli.reports.airflow_tables import runs_table
    from contracts.config.settings import settings as given
    from stack import platform
    from stack.process import environment

    environment.python(given())  # a missing group should not cost five minutes
    settings, console = isolated_home.fresh("airflow-demo"), Console()
    try:
        runs = _play(settings)
    finally:
        platform.down(settings)
    console.print(runs_table(runs))
    console.print(
        "[dim]the ticks' signal is planted: no impact, no capacity; the power is made up[/]"
    )
    console.print(
        f"left out, by hand: {', '.join(NETWORKS)} (`make install-vision`, `tick airflow run …"
        " --set data=…`)"
    )
    if any(run["state"] != "success" for run in runs):
        raise typer.Exit(1)


def _play(settings: "Settings") -> list[dict[str, Any]]:
    """1. services and history  2. the weekly training  3. what needs its model, and the others  4.
    power day by day.
    """
    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from lakehouse import power
    from stack import platform
    from stack.services import airflow_stack
    from stack.services.airflow_rest import Client
    from streaming.synthetic.history import load_synthetic
    from streaming.synthetic.market import FIXTURE
    from training.power import files
    from training.run.provenance import iso

    today_us = now_us() // DAY_US * DAY_US
    with bars() as report:
        platform.up(settings, ("jobmanager", "taskmanager"), report)
        load_synthetic(settings, FIXTURE, today_us - TICK_DAYS * DAY_US, TICK_DAYS, report)
        power.store(settings, files.to_silver(_readings(today_us - POWER_DAYS * DAY_US), "made up"))
        airflow_stack.up(settings, report)
        client = Client(settings)
        _wait(
            lambda: {TICK, *AFTER} <= {dag["dag_id"] for dag in client.dags()},
            "the DAGs are not read",
        )
        for number, dags in enumerate(((TICK,), AFTER), start=1):
            report("scheduled runs", number - 1, 3)
            for dag in dags:
                client.unpause(dag)
            for dag in dags:
                _wait(lambda dag=dag: _is_over(client, dag), f"{dag} is not over")  # type: ignore[misc]
        report("scheduled runs", 2, 3)
        first, last = today_us - (BACKFILL_DAYS + 3) * DAY_US, today_us - 3 * DAY_US - 1_000_000
        started = client.backfill(POWER, iso(first), iso(last), {})
        _wait(lambda: client.backfill_is_over(started), "the backfill is not over")
        report("scheduled runs", 3, 3)
        return client.runs()


def _is_over(client: "Client", dag: str) -> bool:
    from stack.services.airflow_rest import ENDED

    runs = client.runs(dag)
    return bool(runs) and all(run["state"] in ENDED for run in runs)


def _wait(until: Callable[[], bool], what: str) -> None:
    from contracts.errors import ServiceError

    deadline = time.monotonic() + LIMIT_S
    while not until():
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{what} after {LIMIT_S:.0f} s",
                "see `tick airflow status` and the logs below TICK_HOME/airflow-demo",
            )
        time.sleep(POLL_S)


def _readings(start_us: int) -> "pl.DataFrame":
    """A daily wave and noise, on which seven days say more than one."""
    import numpy as np
    import polars as pl

    from training.power.files import STEP_US, ZONES

    rng, times = (
        np.random.default_rng(1),
        np.arange(start_us, start_us + POWER_DAYS * DAY_US, STEP_US),
    )
    wave = 20_000 + 5_000 * np.sin(2 * np.pi * (times % DAY_US) / DAY_US)
    return pl.DataFrame(
        {"event_time_us": times} | {zone: wave + rng.normal(0, 500, len(times)) for zone in ZONES}
    )
