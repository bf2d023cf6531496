"""The four documented calls of `create_ml_training_dag`, with positional and keyword arguments."""

from typing import Any, NamedTuple


class Call(NamedTuple):
    """Arguments of one documented call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def fields(self) -> dict[str, Any]:
        """The same call as the fields of a YAML file."""
        names = ("dag_id", "schedule", "model_type", "dataset", "framework", "pool")
        return dict(zip(names, self.args, strict=False)) | self.kwargs


CALLS = {
    call.args[0]: call
    for call in (
        Call(
            ("mnist_cnn_training", None, "cnn", "mnist", "tensorflow", "gpu_pool"),
            {"tags": ["ml", "cnn", "mnist", "experiment"]},
        ),
        Call(
            ("cifar10_cnn_training", None, "cnn", "cifar10", "pytorch", "gpu_pool"),
            {"tags": ["ml", "cnn", "cifar10", "experiment"]},
        ),
        Call(
            (
                "tick_model_training",
                "0 2 * * 0",
                "timeseries",
                "tick",
                "sklearn",
                "high_priority_cpu",
            ),
            {"priority_weight": 10, "tags": ["ml", "tick", "production", "timeseries"]},
        ),
        Call(
            ("power_lgbm_training", "0 1 * * *", "gbm", "power", "lightgbm"),
            {"tags": ["ml", "lgbm", "power", "forecasting"]},
        ),
    )
}
