"""`tick_feature_backfill`: features of any range, one task per chunk; every night of yesterday."""

from airflow.sdk import DAG, Param, task

from dags.factory.spec import DagSpec, arguments, time_param
from dags.tasks import history

SPEC = DagSpec(
    dag_id="tick_feature_backfill",
    owner="data-platform-team",
    schedule="30 0 * * *",
    tags=("tick", "features", "backfill"),
    priority=4,
    retry_min=2,
    deadline_h=12,
    params={
        "from": time_param(
            "first row end; default: the day on which the run's interval begins, or yesterday"
        ),
        "to": time_param("no row end at or after this"),
        "symbols": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            description="VENUE:SYMBOL; default: all",
        ),
        "chunk": Param("auto", type="string", description="12h, 1d, 2w or auto"),
    },
)

with DAG(**arguments(SPEC)) as dag:
    # One chunk at a time: only one backfill may write gold.
    chunk = task(history.backfill_chunk, max_active_tis_per_dag=1)
    task(history.report_holes)(chunk.expand(chunk=task(history.plan_chunks)()))
