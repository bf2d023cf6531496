"""MLflow, and the training of every model."""

from pathlib import Path

from pydantic import Field

from contracts.config.home import HomeSettings


class TrainingSettings(HomeSettings):
    """MLflow, and the training of every model."""

    mlflow_port: int = Field(
        7240, ge=1, le=65_535, description="MLflow UI, started only by `tick open mlflow`"
    )
    decision_grid_s: int = Field(
        60,
        ge=1,
        le=3600,
        description=(
            "spacing of the decision times of training rows; only with 60 is the gate's Sharpe"
            " ratio annualised correctly"
        ),
    )
    mlflow_tracking_uri: str | None = Field(
        None, description="default: MLFLOW_TRACKING_URI, else SQLite below HOME"
    )
    mlflow_artifacts: str | None = Field(
        None,
        min_length=1,
        description="artifact store of the MLflow UI, s3://…; default: below HOME",
    )
    model_name: str = Field("tick-model", description="registered model that /predict serves")
    experiment: str = Field(
        "tick-model-production", description="MLflow experiment of the tick pipeline"
    )
    horizon_s: int = Field(60, ge=1, le=86_400, description="label: time from entry to exit")
    entry_delay_s: int = Field(
        5,
        ge=5,
        le=3600,
        description="label: entry is the first trade strictly later than decision + this delay",
    )
    entry_late_s_max: int = Field(
        30, ge=0, le=3600, description="a decision is dropped when its entry is later than this"
    )
    cost_bp: float = Field(
        1.0,
        ge=1,
        le=100,
        description="one-way cost of a trade in basis points; the gate uses it, so at least 1",
    )
    seed: int = Field(7, ge=0, lt=2**32, description="seed of every random choice in training")
    train_threads: int = Field(2, ge=1, le=256, description="threads that fit the forest")
    test_days: int = Field(
        7,
        ge=7,
        le=366,
        description="number of full hold-out days (UTC); the incomplete day after them is added",
    )
    walk_forward_folds: int = Field(
        5,
        ge=1,
        le=20,
        description="walk-forward folds before the hold-out days; fewer in a short range",
    )
    embargo_share: float = Field(
        0.01,
        ge=0.01,
        lt=0.5,
        description="share of the data's time span left out between training and test",
    )
    power_model_name: str = Field(
        "power-consumption-model",
        description="registered model of the total; zone models add -zone1, -zone2 …",
    )
    power_experiment: str = Field(
        "power-consumption-forecasting", description="MLflow experiment of the power pipeline"
    )
    power_test_days: int = Field(
        56,
        ge=28,
        le=366,
        description="number of hold-out days for the power gate, the last whole days",
    )
    power_valid_days: int = Field(
        28,
        ge=7,
        le=366,
        description="days before the hold-out days, the early-stopping set of LightGBM",
    )
    power_url: str = Field(
        "https://archive.ics.uci.edu/static/public/849/power+consumption+of+tetouan+city.zip",
        pattern="^https?://",
        description="public file of power readings (CC BY 4.0) that --download fetches",
    )
    power_sha256: str = Field(
        "3c4bf684161180937043a9fb65701a83d44b740b0d42f0492b6e7aec57ddbbfe",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    mnist_model_name: str = Field("mnist-cnn-model", description="registered model of MNIST")
    mnist_experiment: str = Field("mnist-cnn-experiments", description="MLflow experiment of MNIST")
    mnist_url: str = Field(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        pattern="^https?://",
        description="public file of MNIST, downloaded when --data is not given",
    )
    mnist_sha256: str = Field(
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    cifar10_model_name: str = Field("cifar10-cnn-model", description="registered model of CIFAR-10")
    cifar10_experiment: str = Field(
        "cifar10-cnn-experiments", description="MLflow experiment of CIFAR-10"
    )
    cifar10_url: str = Field(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        pattern="^https?://",
        description=(
            "public file of CIFAR-10, downloaded when --data is not given: the binary version,"
            " because the Python one is a pickle"
        ),
    )
    cifar10_sha256: str = Field(
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of that file",
    )
    vision_python: Path | None = Field(
        None,
        description=(
            "Python with Keras or Torch for image training; default: the current one, else the"
            " project's .venv-vision"
        ),
    )
    model_check_timeout_s: float = Field(
        60,
        ge=1,
        le=3600,
        description="timeout of a model file's first load, in a child process",
    )
