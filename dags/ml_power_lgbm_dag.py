"""`power_lgbm_training`: an Airflow DAG; daily at 01:00 the power model learns from everything through yesterday, and forecasts today."""

from dags.model_training_factory import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="power_lgbm_training",
    schedule="0 1 * * *",
    model_type="lgbm",
    dataset="power",
    framework="lightgbm",
    pool="default_pool",
    priority_weight=3,
    tags=("ml", "lgbm", "power", "forecasting"),
)
