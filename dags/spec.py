"""What a DAG is, as data: who owns it, when and where it runs, how it is tried again, what its
model must show. Every DAG file has one.

`arguments` turns a spec into what Airflow's DAG takes; nothing else in a DAG file repeats it.
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

from contracts.config.settings import settings
from dags import alerts

START = datetime(2025, 1, 1, tzinfo=UTC)
DEFAULT_POOL = "default_pool"
BATCH = "batch_queue"
# Ids of the DAG files: a variant may not take one.
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
DOCS = Path(__file__).with_name("docs")
BACK_OFF = 2.0  # `True` would mean 1: no back-off at all
# What wrong input causes is as wrong the next time.
HOPELESS = [
    "contracts.errors.FeedError",
    "contracts.errors.DatasetError",
    "contracts.errors.SettingError",
]


@dataclass(frozen=True)
class Spec:
    """One DAG. `schedule` is cron in UTC, None: by hand; an event of `asset` starts it too. Times
    are minutes and hours.
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
    asset: str = ""
    params: Mapping[str, Param] = field(default_factory=dict)


def arguments(spec: Spec) -> dict[str, Any]:
    """Everything that `airflow.sdk.DAG` is told."""
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


def timetable(spec: Spec) -> Any:
    """A plain cron string would give intervals of no width, and a run could not tell which day it
    is for.
    """
    if spec.schedule is None:
        return None
    by_time = CronDataIntervalTimetable(spec.schedule, timezone="UTC")
    return (
        AssetOrTimeSchedule(timetable=by_time, assets=[Asset(spec.asset)])
        if spec.asset
        else by_time
    )


def default_args(spec: Spec) -> dict[str, Any]:
    """What each task has unless it says otherwise. A priority is absolute: it does not add up over
    what follows.
    """
    longest = timedelta(seconds=settings().airflow_retry_s_max)
    return {
        "owner": spec.owner,
        "pool": spec.pool,
        "queue": spec.queue,
        "priority_weight": spec.priority,
        "weight_rule": "absolute",
        "retries": spec.retries,
        "retry_delay": min(timedelta(minutes=spec.retry_min), longest),
        "retry_exponential_backoff": BACK_OFF,
        "max_retry_delay": longest,
        "retry_policy": ExceptionRetryPolicy(
            [
                RetryRule(
                    exception=HOPELESS, action=RetryAction.FAIL, reason="wrong input stays wrong"
                )
            ]
        ),
        "on_failure_callback": alerts.task_failed,
    }


def deadline(spec: Spec) -> DeadlineAlert:
    """Counted from when a run was queued: from the logical date, every backfilled run would be late
    at once.
    """
    told = {"dag_id": spec.dag_id, "owner": spec.owner, "hours": spec.deadline_h}
    late = AsyncCallback(alerts.deadline_missed, kwargs=told)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=spec.deadline_h),
        callback=late,
    )


def moment(description: str, default: str | int | None = None) -> Param:
    """A parameter that is a time, UTC; empty: what the run's interval says."""
    return Param(default, type=["null", "string"], description=f"{description}; ISO 8601, UTC")


def _doc(spec: Spec) -> str:
    file = DOCS / f"{spec.dag_id}.md"
    text = file.read_text() if file.exists() else f"# {spec.dag_id}, a variant\n"
    training = f", training: {spec.training_queue}" if spec.training_queue else ""
    facts = {"owner": spec.owner, "schedule": spec.schedule or "by hand"}
    facts |= {"queue": f"{spec.queue}{training}", "priority": str(spec.priority)}
    facts |= {"retries": f"{spec.retries}, the first after {spec.retry_min:g} min"}
    facts |= {"deadline": f"{spec.deadline_h:g} h after it was queued"}
    facts |= {
        name: value
        for name, value in (("MLflow experiment", spec.experiment), ("gate", spec.gate))
        if value
    }
    return f"{text}\n| | |\n|---|---|\n" + "".join(
        f"| {name} | {value} |\n" for name, value in facts.items()
    )
