"""The project's own long-running processes as services: online writer, maintenance, prediction API,
MLflow page. Each has its own start command.
"""

import json
import sys
from importlib.metadata import version

from pydantic import SecretStr
from redis import RedisError

from contracts.clock import now_us
from contracts.config import paths
from contracts.config.groups.redis import RedisSettings
from contracts.config.groups.serving import ServingSettings
from contracts.config.groups.training import TrainingSettings
from contracts.config.home import HomeSettings
from contracts.redis_keys import STATS_KEY
from serving.client import Client
from stack import secrets
from stack.process.pids import ProcessRecord
from stack.process.probe import returns_ok
from stack.process.service import Service
from stack.services import redis

PROBE_TIMEOUT_S = 2.0
API_CLIENT_TIMEOUT_S = 5.0
STATS_AGE_MS_MAX = 10_000  # the writer updates its statistics every second


def settings_env(settings: HomeSettings) -> dict[str, str]:
    """These settings as environment variables, so that a child process gets the same settings in
    any working directory.
    """
    values = settings.model_dump(exclude={"api_key"}, exclude_none=True)
    env = {f"TICK_{name.upper()}": _env_value(value) for name, value in values.items()}
    return {**env, "TICK_HOME": str(settings.root), "TICK_CACHE": str(paths.jars(settings))}


def _env_value(value: object) -> str:
    if isinstance(value, SecretStr):  # str() would mask it
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, list | tuple | dict) else str(value)


def _project_version() -> str:
    return version("lakehouse-tick")


def writer(settings: RedisSettings) -> Service:
    """The online writer (Kafka tick_features → Redis); ready while its statistics in Redis are
    recent and newer than its start.
    """
    return Service(
        name="writer",
        version=_project_version(),
        command=(sys.executable, "-m", "feature_store.online.writer"),
        ready=lambda: _has_recent_stats(settings),
        home=settings.root,
        env=settings_env(settings),
    )


def _has_recent_stats(settings: RedisSettings) -> bool:
    record = ProcessRecord.from_file(paths.run(settings) / "writer.json")
    try:
        with redis.client(settings) as client:
            updated_ms = int(client.hget(STATS_KEY, "updated_ms") or 0)
    except RedisError:
        return False
    started_ms = record.started_s() * 1000 if record else 0  # a container does not record PIDs
    return updated_ms > max(started_ms, now_us() // 1000 - STATS_AGE_MS_MAX)


def maintenance(settings: HomeSettings) -> Service:
    """The maintenance of the tables; ready as soon as it runs."""
    return Service(
        name="maintenance",
        version=_project_version(),
        command=(sys.executable, "-m", "streaming.maintenance"),
        ready=lambda: True,
        home=settings.root,
        env=settings_env(settings),
    )


def api(settings: ServingSettings) -> Service:
    """The prediction API; ready when /healthz responds. /readyz tells whether it can predict."""
    key = secrets.find_api_key(settings)
    return Service(
        name="api",
        version=_project_version(),
        command=(sys.executable, "-m", "serving.main"),
        ready=lambda: returns_ok(f"{settings.api_url}/healthz", PROBE_TIMEOUT_S),
        home=settings.root,
        ports={settings.api_port: "TICK_API_PORT"},
        env=settings_env(settings) | ({secrets.API_KEY_NAME: key} if key else {}),
    )


def api_client(settings: ServingSettings) -> Client:
    """A client of the prediction API with the API key. Raises ServiceError when there is no key."""
    return Client(settings.api_url, secrets.api_key(settings), API_CLIENT_TIMEOUT_S)


def mlflow_url(settings: TrainingSettings) -> str:
    """Address of the MLflow page: the server of the settings, else the local one."""
    tracking_uri = paths.mlflow_uri(settings)
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri
    return f"http://{settings.host}:{settings.mlflow_port}"


def mlflow(settings: TrainingSettings) -> Service:
    """The MLflow page of the registry, for browsing only: no part of the platform needs it."""
    home = paths.mlflow_home(settings)
    # Not options: every user can read a command line, and the URI may contain a password.
    stores = {
        "MLFLOW_BACKEND_STORE_URI": paths.mlflow_uri(settings),
        "MLFLOW_ARTIFACTS_DESTINATION": settings.mlflow_artifacts or str(home / "artifacts"),
    }
    address = ("--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1")
    return Service(
        name="mlflow",
        version=version("mlflow"),
        command=(sys.executable, "-m", "mlflow", "server", *address),
        ready=lambda: returns_ok(f"{mlflow_url(settings)}/health", PROBE_TIMEOUT_S),
        home=settings.root,
        ports={settings.mlflow_port: "TICK_MLFLOW_PORT"},
        # Otherwise MLflow starts eight more processes, for jobs that this project does not use.
        env={**stores, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        prepare=lambda: home.mkdir(parents=True, exist_ok=True),
    )
