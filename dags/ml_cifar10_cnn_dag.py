"""`cifar10_cnn_training`: CIFAR-10 by Torch, by hand, as an Airflow DAG."""

from dags.model_training_factory import create_ml_training_dag

dag = create_ml_training_dag(
    dag_id="cifar10_cnn_training",
    schedule=None,
    model_type="resnet9",
    dataset="cifar10",
    framework="pytorch",
    pool="gpu_pool",
    priority_weight=5,
    tags=("ml", "cnn", "cifar10", "experiment"),
)
