"""`tick_daily_statistics`: every day at 01:15, statistics of yesterday's ticks."""

from airflow.sdk import DAG, Param, task

from dags.factory.spec import DagSpec, arguments, time_param
from dags.tasks import history

SPEC = DagSpec(
    dag_id="tick_daily_statistics",
    owner="quant-team",
    schedule="15 1 * * *",
    tags=("tick", "statistics", "daily"),
    priority=4,
    deadline_h=2,
    experiment="tick-daily-statistics",
    params={
        "from": time_param(
            "first day; default: the day on which the run's interval begins, or yesterday"
        ),
        "to": time_param("end of the last day"),
        "symbols": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            description="VENUE:SYMBOL; default: all",
        ),
    },
)

with DAG(**arguments(SPEC)) as dag:
    task(history.compute_statistics)()
