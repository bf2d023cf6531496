"""How long a caller waits for an answer that is a refusal: Redis stalled, gone and empty, asked by
many at once.
"""

import signal
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from bench import api, http_load, services
from bench.figures import BenchError, Figure, quantile
from contracts.config.settings import Settings
from contracts.features import CORE
from feature_store.online.store import connect
from models import export
from stack import platform

AIM_P99_MS = 250.0
REFUSED = 503
CLIENTS, REQUESTS = 8, 800
SEED = 7


def measure(scale: float = 1.0) -> list[Figure]:
    """p99 of the refusals in each case; every answer must be the documented one."""
    with services.running(("redis", "kafka")) as settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's and scikit-learn's of each other
        rows = np.random.default_rng(SEED).normal(size=(400, len(CORE))).astype(np.float32)
        forest = RandomForestRegressor(n_estimators=5, random_state=SEED).fit(
            rows, rows[:, 0] * 1e-4
        )
        api.promote(
            settings, export.export(forest, rows, settings.root / "forest", seed=SEED, **api.KNOWN)
        )
        api.feed(settings)
        api.start(settings)
        count = max(100, int(REQUESTS * scale))
        return [_case(settings, name, count, fail) for name, fail in CASES.items()]


def _case(
    settings: Settings, name: str, count: int, fail: Callable[[Settings], Callable[[], None]]
) -> Figure:
    """One case, undone at its end. Raises BenchError for another answer than the documented one."""
    undo = fail(settings)
    try:
        load = http_load.run(
            f"{settings.api_url}/predict",
            api.messages(settings),
            CLIENTS,
            count,
            services.process(settings, "api"),
        )
    finally:
        undo()
    if set(load.statuses) != {REFUSED}:
        raise BenchError(f"{name}: answered {load.statuses}", f"{REFUSED} was expected")
    note = (
        f"{count} answers {REFUSED} at c={CLIENTS}, p50 {quantile(load.ms, 0.5):.1f} ms, longest"
        f" {max(load.ms):.0f} ms"
    )
    return Figure(f"{name}, p99", quantile(load.ms, 0.99), "ms", at_most=AIM_P99_MS, note=note)


def _stalled(settings: Settings) -> Callable[[], None]:
    redis = services.process(settings, "redis")
    redis.send_signal(signal.SIGSTOP)
    return lambda: redis.send_signal(signal.SIGCONT)


def _gone(settings: Settings) -> Callable[[], None]:
    services.process(settings, "redis").kill()
    return lambda: platform.up(settings, ("redis",))


def _empty(settings: Settings) -> Callable[[], None]:
    with connect(settings) as client:
        client.flushall()
    return lambda: None


CASES = {"Redis stalled": _stalled, "Redis gone": _gone, "Redis empty": _empty}
