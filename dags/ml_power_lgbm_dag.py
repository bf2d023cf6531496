"""`power_lgbm_training`: an Airflow DAG that trains the power model on all data through yesterday.

Runs daily at 01:00 UTC; a model that passes its gate forecasts today.
"""

from dags.factory.model_training import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="power_lgbm_training",
    schedule="0 1 * * *",
    model_type="gbm",
    dataset="power",
    framework="lightgbm",
    tags=("ml", "lgbm", "power", "forecasting"),
)
