"""The API under a bench: a Production model, fresh features, a start, and the requests to send."""

import time
from typing import Any

import numpy as np
import orjson
import psutil

from bench.load import feature_rows, http_load
from bench.platform import services
from contracts.clock import now_us
from contracts.config.groups.redis import RedisSettings
from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.redis_keys import HEARTBEAT_KEY
from contracts.windows import LEVELS
from feature_store.online.store import connect, write_rows
from models import tracking
from models.registry import Registry
from models.runtime import ExportedModel
from models.versions import GATE_PASS
from stack import platform, secrets

READY_S = 90.0
SYMBOLS = 64
MODEL_FACTS: dict[str, Any] = {
    "features": CORE,
    "trained_on": "synthetic",
    "trained_to_us": 0,
    "horizon_s": 60,
}


def promote(settings: Settings, exported: ExportedModel) -> None:
    """Register a model and promote it to Production."""
    client = tracking.client(settings)
    run = client.create_run(tracking.experiment_id(settings, client, settings.experiment))
    registry = Registry(settings)
    registry.promote(registry.register_version(exported, run.info.run_id, {GATE_PASS: "true"}))


def write_features(settings: RedisSettings) -> None:
    """Write fresh rows of every view to Redis, without nulls."""
    time_ms, rng = now_us() // 1000, np.random.default_rng(1)
    rows = [
        feature_rows.row(level, name, time_ms, rng)
        for name in feature_rows.symbols(SYMBOLS)
        for level in LEVELS
    ]
    filled = [
        {name: 0.1 if value is None else value for name, value in row.items()} for row in rows
    ]
    with connect(settings) as client:
        write_rows(client, filled, settings, now_us())
        client.set(HEARTBEAT_KEY, time_ms)


def restart(settings: Settings) -> float:
    """Restart the API; returns the seconds until it answers a prediction."""
    platform.down(settings, ["api"])
    began_s = time.monotonic()
    platform.start(settings, "api")
    services.wait(lambda: _predicts(settings), "the API to be ready", READY_S)
    write_features(settings)
    return time.monotonic() - began_s


def _predicts(settings: ServingSettings) -> bool:
    url = f"{settings.api_url}/predict"
    load = http_load.send_requests(url, messages(settings), 1, 1, psutil.Process())
    return load.statuses == {200: 1}


def messages(settings: ServingSettings) -> list[bytes]:
    """One raw `/predict` request with the API key for each symbol."""
    url, key = f"{settings.api_url}/predict", {"X-API-Key": secrets.api_key(settings)}
    return [
        http_load.request(url, orjson.dumps({"symbols": [name]}), key)
        for name in feature_rows.symbols(SYMBOLS)
    ]
