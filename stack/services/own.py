"""Our own long-running processes as services: online writer, prediction API, MLflow page. Each is
started by its own command.
"""

import json
import sys
import urllib.request
from importlib.metadata import version

from pydantic import SecretStr
from redis import RedisError

from contracts.clock import now_us
from contracts.config import paths
from contracts.config.settings import Settings
from contracts.redis_keys import STATS_REDIS_KEY
from stack import secrets
from stack.process.pids import Record
from stack.process.service import Service
from stack.services import redis

PROBE_TIMEOUT_S = 2.0
REPORT_AGE_MS_MAX = 10_000  # the writer reports every second


def settings_env(settings: Settings) -> dict[str, str]:
    """These settings as environment variables, so that a child process reads the same, whatever its
    folder.
    """
    plain = settings.model_dump(exclude={"api_key"}, exclude_none=True)
    env = {f"TICK_{name.upper()}": _as_text(value) for name, value in plain.items()}
    return {**env, "TICK_HOME": str(settings.root), "TICK_CACHE": str(paths.jars(settings))}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):  # as text it would be stars
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, list | tuple | dict) else str(value)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _own() -> str:
    return version("lakehouse-tick")


def writer(settings: Settings) -> Service:
    """Kafka tick_features → Redis; ready while its report in Redis is newer than its start and not
    old.
    """
    return Service(
        name="writer",
        version=_own(),
        command=(sys.executable, "-m", "feature_store.online.writer"),
        ready=lambda: _reports(settings),
        home=settings.root,
        env=settings_env(settings),
    )


def _reports(settings: Settings) -> bool:
    record = Record.read(paths.run(settings) / "writer.json")
    try:
        with redis.client(settings) as client:
            updated_ms = int(client.hget(STATS_REDIS_KEY, "updated_ms") or 0)
    except RedisError:
        return False
    born_ms = record.created_s * 1000 if record else 0  # in a container no one records a PID
    return updated_ms > max(born_ms, now_us() // 1000 - REPORT_AGE_MS_MAX)


def api(settings: Settings) -> Service:
    """The prediction API; ready when it is alive (/healthz). Whether it can predict is /readyz."""
    key = secrets.stored(settings)
    return Service(
        name="api",
        version=_own(),
        command=(sys.executable, "-m", "serving.main"),
        ready=lambda: _answers(f"{settings.api_url}/healthz"),
        home=settings.root,
        ports={settings.api_port: "TICK_API_PORT"},
        env=settings_env(settings) | ({secrets.NAME: key} if key else {}),
    )


def mlflow_url(settings: Settings) -> str:
    """Address of the MLflow page: the server that the settings name, else the one we start."""
    given = paths.mlflow_uri(settings)
    return (
        given
        if given.startswith(("http://", "https://"))
        else f"http://{settings.host}:{settings.mlflow_port}"
    )


def mlflow(settings: Settings) -> Service:
    """The MLflow page on the registry, for people; nothing in the platform needs it."""
    home = paths.mlflow_home(settings)
    stores = (
        "--backend-store-uri",
        paths.mlflow_uri(settings),
        "--artifacts-destination",
        settings.mlflow_artifacts or str(home / "artifacts"),
    )
    address = ("--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1")
    return Service(
        name="mlflow",
        version=version("mlflow"),
        command=(sys.executable, "-m", "mlflow", "server", *stores, *address),
        ready=lambda: _answers(f"{mlflow_url(settings)}/health"),
        home=settings.root,
        ports={settings.mlflow_port: "TICK_MLFLOW_PORT"},
        env={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"
        },  # else it starts eight more processes for jobs no one runs
        prepare=lambda: home.mkdir(parents=True, exist_ok=True),
    )
