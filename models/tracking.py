"""Where MLflow lives: the settings' URI, else MLFLOW_TRACKING_URI, else SQLite below HOME;
artifacts below HOME likewise.
"""

import logging
import os
import warnings
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from contracts.config import paths
from contracts.config.settings import Settings

# MLflow tells every migration of its data base and every copied file; here only what went wrong is
# worth a line.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# Its own defaults keep trying a server that is gone for many minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
TALKATIVE = ("alembic", "mlflow.store", "mlflow.utils.environment")


def artifact_root(settings: Settings) -> Path:
    """Folder of the artifacts when no MLflow server keeps them."""
    return paths.mlflow_home(settings) / "artifacts"


def tracking_uri(settings: Settings) -> str:
    """The tracking and registry URI of this platform."""
    return paths.mlflow_uri(settings)


def client(settings: Settings) -> MlflowClient:
    """A client of that URI; makes the folder of the default data base. Nothing global is set."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow's own tables use what SQLAlchemy has deprecated, and importing Feast makes such
    # warnings visible: hence here, not above.
    warnings.filterwarnings(
        "ignore",
        message="The ``noload`` loader strategy is deprecated",
        category=DeprecationWarning,
    )
    paths.mlflow_home(settings).mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(settings)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(settings: Settings, mlflow: MlflowClient, name: str) -> str:
    """Id of the experiment, made when missing; without a server its artifacts go below HOME, never
    into the current folder.
    """
    served = tracking_uri(settings).startswith(("http://", "https://"))
    location = None if served else (artifact_root(settings) / name).as_uri()
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(mlflow.create_experiment(name, artifact_location=location))
    except MlflowException:  # another process was first
        found = mlflow.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
