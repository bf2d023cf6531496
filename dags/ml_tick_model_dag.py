"""`tick_model_training`: an Airflow DAG that trains the tick model on the lakehouse.

Runs on Sundays at 02:00 UTC and after the drift event; the gate decides about Production.
"""

from dags.factory.model_training import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="tick_model_training",
    schedule="0 2 * * 0",
    model_type="timeseries",
    dataset="tick",
    framework="sklearn",
    pool="high_priority_cpu",
    priority_weight=10,
    tags=("ml", "tick", "production", "timeseries"),
)
