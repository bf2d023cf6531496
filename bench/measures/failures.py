"""Latency of refused requests while Redis is stalled, down or empty, under concurrent clients."""

import signal
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from bench.errors import BenchError
from bench.load import http_load
from bench.platform import api, services
from bench.report.figures import Figure, quantile
from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import Settings
from contracts.features import CORE
from feature_store.online.store import connect
from models.export.sklearn_estimator import export_estimator
from stack import platform

AIM_P99_MS = 250.0
REFUSED = 503
CLIENTS, REQUESTS = 8, 800
SEED = 7


def measure(scale: float = 1.0) -> list[Figure]:
    """p99 of the refusals in each case; every response must be the documented one."""
    with services.run_services(("redis", "kafka")) as settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow and scikit-learn warn of each other
        rows = np.random.default_rng(SEED).normal(size=(400, len(CORE))).astype(np.float32)
        forest = RandomForestRegressor(n_estimators=5, random_state=SEED)
        forest.fit(rows, rows[:, 0] * 1e-4)
        folder = settings.root / "forest"
        api.promote(settings, export_estimator(forest, rows, folder, seed=SEED, **api.MODEL_FACTS))
        api.write_features(settings)
        api.restart(settings)
        count = max(100, int(REQUESTS * scale))
        return [_case(settings, name, count, fail) for name, fail in CASES.items()]


def _case(
    settings: Settings, name: str, count: int, fail: Callable[[Settings], Callable[[], None]]
) -> Figure:
    """Cause a failure, measure, repair it. Raises BenchError for an undocumented response."""
    repair = fail(settings)
    try:
        load = http_load.send_requests(
            f"{settings.api_url}/predict",
            api.messages(settings),
            CLIENTS,
            count,
            services.process(settings, "api"),
        )
    finally:
        repair()
    if set(load.statuses) != {REFUSED}:
        raise BenchError(
            f"{name}: responses by status {load.statuses}, expected only {REFUSED}",
            "see the log of the API",
        )
    note = (
        f"{count} responses {REFUSED} at c={CLIENTS}, p50 {quantile(load.ms, 0.5):.1f} ms, longest"
        f" {max(load.ms):.0f} ms"
    )
    return Figure(f"{name}, p99", quantile(load.ms, 0.99), "ms", at_most=AIM_P99_MS, note=note)


def _stall_redis(settings: Settings) -> Callable[[], None]:
    redis = services.process(settings, "redis")
    redis.send_signal(signal.SIGSTOP)
    return lambda: redis.send_signal(signal.SIGCONT)


def _kill_redis(settings: Settings) -> Callable[[], None]:
    services.process(settings, "redis").kill()
    return lambda: platform.up(settings, ("redis",))


def _empty_redis(settings: RedisSettings) -> Callable[[], None]:
    with connect(settings) as client:
        client.flushall()
    return lambda: None


CASES = {"Redis stalled": _stall_redis, "Redis gone": _kill_redis, "Redis empty": _empty_redis}
