"""MLflow client and address: the setting, else MLFLOW_TRACKING_URI, else SQLite below TICK_HOME."""

import logging
import os
import warnings
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from contracts.config import paths
from contracts.config.groups.training import TrainingSettings
from contracts.config.home import HomeSettings

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's defaults retry an unreachable server for many minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
# Loggers that report every migration of the database and every copied file.
VERBOSE_LOGGERS = ("alembic", "mlflow.store", "mlflow.utils.environment")


def artifact_root(settings: HomeSettings) -> Path:
    """Folder of the artifacts, used without an MLflow server."""
    return paths.mlflow_home(settings) / "artifacts"


def tracking_uri(settings: TrainingSettings) -> str:
    """URI of both the tracking server and the registry."""
    return paths.mlflow_uri(settings)


def client(settings: TrainingSettings) -> MlflowClient:
    """A client of `tracking_uri`; creates the folder of the default database.

    Sets no global MLflow state.
    """
    for name in VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow's tables use a deprecated SQLAlchemy option. Set here and not at import: importing
    # Feast later makes such warnings visible again.
    warnings.filterwarnings(
        "ignore",
        message="The ``noload`` loader strategy is deprecated",
        category=DeprecationWarning,
    )
    paths.mlflow_home(settings).mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(settings)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(settings: TrainingSettings, mlflow: MlflowClient, name: str) -> str:
    """Id of experiment `name`, which is created if it does not exist.

    Without a server, its artifacts are stored below TICK_HOME; MLflow's default is the working
    directory.
    """
    experiment = mlflow.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    has_server = tracking_uri(settings).startswith(("http://", "https://"))
    location = None if has_server else (artifact_root(settings) / name).as_uri()
    try:
        return str(mlflow.create_experiment(name, artifact_location=location))
    except MlflowException:  # another process may have created it since
        experiment = mlflow.get_experiment_by_name(name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)
