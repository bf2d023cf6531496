"""`mnist_cnn_training`: an Airflow DAG that trains an MNIST network with Keras, on demand."""

from dags.factory.model_training import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="mnist_cnn_training",
    schedule=None,
    model_type="cnn",
    dataset="mnist",
    framework="tensorflow",
    pool="gpu_pool",
    tags=("ml", "cnn", "mnist", "experiment"),
)
