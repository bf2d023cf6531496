"""`tick_drift_retrain`: every day at 03:30, has the market left what the Production model was
trained on? Then it is trained anew.
"""

from airflow.sdk import DAG, Asset, task

from dags.spec import Spec, arguments, moment
from dags.tasks import tick

SPEC = Spec(
    dag_id="tick_drift_retrain",
    owner="quant-team",
    schedule="30 3 * * *",
    tags=("ml", "tick", "drift"),
    priority=6,
    deadline_h=1,
    gate=(
        "asks only when drift does, and no training began in the last 24 hours; what is trained"
        " must pass its gate as always"
    ),
    params={
        "from": moment("first decision; default: seven days before `to`"),
        "to": moment("default: end of the interval, or now"),
    },
)

with DAG(**arguments(SPEC)) as dag:
    # The event of this asset is what tick_model_training waits for beside its Sundays.
    task(tick.request_retrain, outlets=[Asset("tick_drift")])(task(tick.check_drift)())
