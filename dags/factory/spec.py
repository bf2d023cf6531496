"""A DAG as data: owner, schedule, resources, retries. Each DAG is built from one `DagSpec`; those
of training DAGs come from `model_training`.

`arguments` turns it into the arguments of Airflow's DAG, so that no DAG file repeats them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AsyncCallback,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
)
from airflow.sdk.exceptions import AirflowTimetableInvalid

from contracts.config.settings import settings
from contracts.errors import SettingError
from dags import alerts

START = datetime(2025, 1, 1, tzinfo=UTC)
DEFAULT_POOL = "default_pool"
BATCH = "batch_queue"
# Ids of the DAG files, which a variant must not reuse.
DAG_IDS = (
    "tick_model_training",
    "power_lgbm_training",
    "mnist_cnn_training",
    "cifar10_cnn_training",
    "tick_feature_backfill",
    "tick_daily_statistics",
    "tick_drift_retrain",
    "platform_maintenance",
)
DOCS = Path(__file__).parents[1] / "docs"
BACK_OFF = 2.0  # `True` would mean a factor of 1: no back-off at all
# Errors caused by wrong input, which would fail again on a retry.
NOT_RETRIED = [
    "contracts.errors.FeedError",
    "contracts.errors.DatasetError",
    "contracts.errors.SettingError",
]


@dataclass(frozen=True)
class DagSpec:
    """One DAG.

    `schedule` is cron in UTC, None = on demand. An event of `asset` starts the DAG as well.
    `experiment`, `gate`, `condition` and `training_queue` only appear on the DAG's page.
    """

    dag_id: str
    owner: str
    schedule: str | None
    tags: tuple[str, ...]
    pool: str = DEFAULT_POOL
    queue: str = BATCH
    training_queue: str = ""
    priority: int = 3
    retries: int = 2
    retry_min: float = 3
    deadline_h: float = 1
    experiment: str = ""
    gate: str = ""
    condition: str = ""
    asset: str = ""
    params: Mapping[str, Param] = field(default_factory=dict)


def arguments(spec: DagSpec) -> dict[str, Any]:
    """The arguments of `airflow.sdk.DAG`."""
    return {
        "dag_id": spec.dag_id,
        "description": _doc(spec).splitlines()[0].removeprefix("# "),
        "doc_md": _doc(spec),
        "schedule": timetable(spec),
        "start_date": START,
        "catchup": False,
        "max_active_runs": 1,
        "tags": list(spec.tags),
        "params": dict(spec.params),
        "access_control": {spec.owner: {"DAGs": {"can_read", "can_edit"}}},
        "deadline": deadline(spec),
        "default_args": default_args(spec),
    }


def timetable(spec: DagSpec) -> Any:
    """The timetable of the DAG, None = on demand. Raises SettingError for an impossible schedule.

    Not a plain cron string: its data intervals are empty, so that a run would not know its day.
    """
    if spec.schedule is None:
        return None
    by_time = CronDataIntervalTimetable(spec.schedule, timezone="UTC")
    try:
        by_time.validate()
    except AirflowTimetableInvalid as error:
        raise SettingError(
            f"{spec.dag_id}: schedule: {error}", "write cron in UTC, for example '0 1 * * *'"
        ) from error
    return (
        AssetOrTimeSchedule(timetable=by_time, assets=[Asset(spec.asset)])
        if spec.asset
        else by_time
    )


def default_args(spec: DagSpec) -> dict[str, Any]:
    """Default arguments of the tasks. Priorities are absolute, not summed over downstream tasks."""
    delay_max = timedelta(seconds=settings().airflow_retry_s_max)
    return {
        "owner": spec.owner,
        "pool": spec.pool,
        "queue": spec.queue,
        "priority_weight": spec.priority,
        "weight_rule": "absolute",
        "retries": spec.retries,
        "retry_delay": min(timedelta(minutes=spec.retry_min), delay_max),
        "retry_exponential_backoff": BACK_OFF,
        "max_retry_delay": delay_max,
        "retry_policy": ExceptionRetryPolicy(
            [
                RetryRule(
                    exception=NOT_RETRIED, action=RetryAction.FAIL, reason="caused by wrong input"
                )
            ]
        ),
        "on_failure_callback": alerts.task_failed,
    }


def deadline(spec: DagSpec) -> DeadlineAlert:
    """An alert `deadline_h` after a run was queued.

    Not after its logical date: every backfilled run would be late immediately.
    """
    kwargs = {"dag_id": spec.dag_id, "owner": spec.owner, "hours": spec.deadline_h}
    callback = AsyncCallback(alerts.deadline_missed, kwargs=kwargs)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=spec.deadline_h),
        callback=callback,
    )


def time_param(description: str, default: str | int | None = None) -> Param:
    """A parameter for a time in UTC; if empty, the run's data interval applies."""
    return Param(default, type=["null", "string"], description=f"{description}; ISO 8601, UTC")


def _doc(spec: DagSpec) -> str:
    file = DOCS / f"{spec.dag_id}.md"
    text = file.read_text() if file.exists() else f"# {spec.dag_id}, a variant\n"
    training = f", training: {spec.training_queue}" if spec.training_queue else ""
    facts = {
        "owner": spec.owner,
        "schedule": spec.schedule or "on demand",
        "queue": f"{spec.queue}{training}",
        "priority": str(spec.priority),
        "retries": f"{spec.retries}, the first after {spec.retry_min:g} min",
        "deadline": f"{spec.deadline_h:g} h after it was queued",
        "MLflow experiment": spec.experiment,
        "gate": spec.gate,
        "condition": spec.condition,
    }
    rows = "".join(f"| {name} | {value} |\n" for name, value in facts.items() if value)
    return f"{text}\n| | |\n|---|---|\n{rows}"
