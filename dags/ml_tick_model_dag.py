"""`tick_model_training`: every Sunday at 02:00 the tick model learns from the lakehouse, is judged, and becomes Production or not."""

from airflow.sdk import DAG, Param, task

from dags.approval import approved
from dags.spec import HIGH_PRIORITY_CPU, REALTIME, Spec, arguments, moment
from dags.tasks import tick

SPEC = Spec(
    dag_id="tick_model_training",
    owner="quant-team",
    schedule="0 2 * * 0",
    asset="tick_drift",
    tags=("ml", "tick", "production", "timeseries"),
    queue=REALTIME,
    priority=10,
    retries=3,
    retry_min=2,
    deadline_h=4,
    experiment="tick-model-production",
    gate="Sharpe > 1.5, drawdown < 0.20 net of cost, PSR ≥ 0.95, 7 days, 100 trades, not worse than Production",
    params={
        "from": moment("first decision; default: the oldest data"),
        "to": moment("no decision at or after this; default: end of the run's interval, or now"),
        # A fixed length cuts at fixed days: next week finds the chunks of this one, and computes what is new.
        "chunk": Param("1w", type="string", description="length of a chunk of features: 12h, 1d, 2w or auto"),
    },
)

with DAG(**arguments(SPEC)) as dag:
    prepared = task(tick.prepare_training_data)(task(tick.aggregate_weekly_features, pool=HIGH_PRIORITY_CPU)())
    tested = prepared >> task(tick.train_model, pool=HIGH_PRIORITY_CPU)() >> task(tick.backtest_model)()
    tested >> approved(SPEC.experiment) >> task(tick.register_to_production)()
