"""`mnist_cnn_training`: digits by Keras, by hand, as an Airflow DAG."""

from dags.model_training_factory import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="mnist_cnn_training",
    schedule=None,
    model_type="cnn",
    dataset="mnist",
    framework="tensorflow",
    pool="gpu_pool",
    priority_weight=5,
    tags=("ml", "cnn", "mnist", "experiment"),
)
