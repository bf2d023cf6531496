"""`cifar10_cnn_training`: an Airflow DAG that trains a CIFAR-10 network with PyTorch, on demand."""

from dags.factory.model_training import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="cifar10_cnn_training",
    schedule=None,
    model_type="cnn",
    dataset="cifar10",
    framework="pytorch",
    pool="gpu_pool",
    tags=("ml", "cnn", "cifar10", "experiment"),
)
