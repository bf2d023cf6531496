"""`tick_drift_retrain`: every day at 03:30, checks for drift and requests a retraining if needed.

It compares each feature with the training rows of the Production model, and the forecasts with
those on the hold-out days.
"""

from airflow.sdk import DAG, Asset, task

from dags.factory.spec import DagSpec, arguments, time_param
from dags.tasks import tick

SPEC = DagSpec(
    dag_id="tick_drift_retrain",
    owner="quant-team",
    schedule="30 3 * * *",
    tags=("ml", "tick", "drift"),
    priority=6,
    deadline_h=1,
    condition=(
        "requests a training only on drift, and if none began in the last 24 hours; the new model"
        " must pass the gate as always"
    ),
    params={
        "from": time_param("first decision; default: seven days before `to`"),
        "to": time_param("default: end of the interval, or now"),
    },
)

with DAG(**arguments(SPEC)) as dag:
    # An event of this asset starts tick_model_training, in addition to its Sunday schedule.
    task(tick.request_retrain, outlets=[Asset("tick_drift")])(task(tick.check_drift)())
