"""`platform_maintenance`: every Saturday at 04:00, delete old data and merge small files."""

from airflow.sdk import DAG, Param, task

from dags.factory.spec import DagSpec, arguments
from dags.tasks import maintenance

SPEC = DagSpec(
    dag_id="platform_maintenance",
    owner="data-platform-team",
    schedule="0 4 * * 6",
    tags=("platform", "maintenance"),
    priority=1,
    deadline_h=3,
    params={
        "keep_days": Param(
            None, type=["null", "integer"], minimum=1, description="default: TICK_AIRFLOW_KEEP_DAYS"
        )
    },
)

with DAG(**arguments(SPEC)) as dag:
    # Expiry does not depend on the success of compaction.
    expire = task(maintenance.expire_snapshots, trigger_rule="all_done")
    task(maintenance.compact_tables)() >> expire()
    task(maintenance.delete_old_logs)()
    task(maintenance.delete_old_trainings)()
    task(maintenance.clean_database)()
