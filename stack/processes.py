"""Our own long-running processes as services: online writer, prediction API, MLflow page. Each is started by its own command."""

import json
import os
import sys
import urllib.request
from importlib.metadata import version

from contracts import paths
from contracts.settings import Settings
from stack import secrets
from stack.service import Service

PROBE_TIMEOUT_S = 2.0


def settings_env(settings: Settings) -> dict[str, str]:
    """These settings as environment variables, so that a child process reads the same, whatever its folder."""
    plain = settings.model_dump(exclude={"api_key"}, exclude_none=True)
    env = {
        f"TICK_{name.upper()}": value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
        for name, value in plain.items()
    }
    return {**env, "TICK_HOME": str(settings.root), "TICK_CACHE": str(paths.jars(settings))}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _own(settings: Settings) -> str:
    return version("lakehouse-tick")


def writer(settings: Settings) -> Service:
    """Kafka tick_features → Redis. It answers nobody; a living process is a ready one."""
    return Service(
        name="writer",
        version=_own(settings),
        command=(sys.executable, "-m", "feature_store.online_writer"),
        ready=lambda: True,
        home=settings.root,
        env=settings_env(settings),
    )


def api(settings: Settings) -> Service:
    """The prediction API; ready when it is alive (/healthz). Whether it can predict is /readyz."""
    key = secrets.stored(settings)
    return Service(
        name="api",
        version=_own(settings),
        command=(sys.executable, "-m", "serving.main"),
        ready=lambda: _answers(f"{settings.api_url}/healthz"),
        home=settings.root,
        ports={settings.api_port: "TICK_API_PORT"},
        env=settings_env(settings) | ({secrets.NAME: key} if key else {}),
    )


def mlflow_url(settings: Settings) -> str:
    """Address of the MLflow page."""
    return f"http://{settings.host}:{settings.mlflow_port}"


def mlflow_store(settings: Settings) -> str:
    """Where MLflow keeps runs and models: the settings, MLFLOW_TRACKING_URI, else SQLite below HOME."""
    return settings.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.mlflow_home(settings) / 'mlflow.db'}"


def mlflow(settings: Settings) -> Service:
    """The MLflow page on the registry, for people; nothing in the platform needs it."""
    options = (
        "--backend-store-uri",
        mlflow_store(settings),
        "--host",
        settings.host,
        "--port",
        str(settings.mlflow_port),
        "--workers",
        "1",
    )
    return Service(
        name="mlflow",
        version=version("mlflow"),
        command=(sys.executable, "-m", "mlflow", "server", *options),
        ready=lambda: _answers(f"{mlflow_url(settings)}/health"),
        home=settings.root,
        ports={settings.mlflow_port: "TICK_MLFLOW_PORT"},
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # else it starts eight more processes for jobs nobody runs
        prepare=lambda: paths.mlflow_home(settings).mkdir(parents=True, exist_ok=True),
    )
