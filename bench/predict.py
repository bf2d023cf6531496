"""`/predict` with key, validation, features from Redis, records and metrics, beside `mlflow models
serve` and Feast's feature server.

All on the same machine in one run, one worker each: the peers get the same model with n_jobs=1 and
the same Redis; they check no key, read no features (MLflow) or know no model (Feast).
"""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from bench import api, feature_rows, http_load, services
from bench.figures import BenchError, Figure, quantile
from bench.http_load import Load
from contracts.config.settings import Settings
from contracts.features import CORE
from feature_store.feast_repo import objects as feast_objects
from models import export, export_lightgbm
from models.runtime import Exported
from stack import platform
from training.tick.model import FOREST

ROWS, SEED = 20_000, 7
CLIENTS, MANY, FEW = 32, 8000, 1500
PEER_MANY, PEER_FEW = 1200, 300
AIM_P99_MS, AIM_PER_CORE, AIM_FOREST, AIM_LIGHTGBM, AIM_MEMORY_MIB, AIM_START_S, AIM_SWAP_MS = (
    10.0,
    1000.0,
    10.0,
    3.0,
    300.0,
    5.0,
    100.0,
)


def measure(scale: float = 1.0) -> list[Figure]:
    """Forest first, then LightGBM taken up under load, then what Feast's server does."""
    with (
        services.running(
            ("redis", "kafka"), redis_timeout_ms=5000, feature_read_ms_max=5000
        ) as settings,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # MLflow, scikit-learn and LightGBM of each other
        forest, booster, rows = _models()
        first, second = settings.root / "forest", settings.root / "lightgbm"
        api.promote(settings, export.export(forest, rows, first, seed=SEED, **api.KNOWN))
        api.feed(settings)
        api.start(settings)
        started_s = api.start(settings)  # the first start has no model at hand
        ours = _ours(settings, scale)
        theirs = _mlflow(settings, "sklearn", forest, rows, scale)
        swap = _swap(settings, export_lightgbm.export(booster, rows, second, **api.KNOWN))
        api.feed(settings)
        again, rival = _ours(settings, scale), _mlflow(settings, "lightgbm", booster, rows, scale)
        feast = _feast(settings, scale)
        memory = platform.find(settings, "api").process()
        return _figures(
            started_s,
            ours,
            theirs,
            again,
            rival,
            swap,
            feast,
            memory.memory_info().rss / 2**20 if memory else 0.0,
        )


Pair = tuple[Load, Load]


def _figures(
    started_s: float,
    ours: Pair,
    theirs: Pair,
    again: Pair,
    rival: Pair,
    swap: Load,
    feast: Pair,
    memory_mib: float,
) -> list[Figure]:
    failed = sum(count for status, count in swap.statuses.items() if status != 200)
    swapped = f"{len(swap.ms):,} requests while a new version was promoted, {failed} failed"
    told = f"{len(ours[0].ms):,} requests one after the other, {_p(ours[0], 0.5):.2f} ms p50"
    return [
        Figure(
            "/predict, forest, p99 at c=1", _p(ours[0], 0.99), "ms", at_most=AIM_P99_MS, note=told
        ),
        Figure(
            f"/predict, forest, at c={CLIENTS}",
            ours[1].per_core,
            "req/s/core",
            at_least=AIM_PER_CORE,
            note=_clock(ours[1]),
        ),
        Figure(
            "mlflow models serve, forest, p99 at c=1",
            _p(theirs[0], 0.99),
            "ms",
            note=f"{_p(theirs[0], 0.5):.1f} ms p50",
        ),
        Figure(
            f"mlflow models serve, forest, at c={CLIENTS}",
            theirs[1].per_core,
            "req/s/core",
            note=_clock(theirs[1]),
        ),
        Figure(
            "ours / mlflow, forest, req/s/core",
            ours[1].per_core / theirs[1].per_core,
            "×",
            at_least=AIM_FOREST,
        ),
        Figure(
            "/predict, LightGBM, p99 at c=1",
            _p(again[0], 0.99),
            "ms",
            note=f"{_p(again[0], 0.5):.2f} ms p50",
        ),
        Figure(
            f"/predict, LightGBM, at c={CLIENTS}",
            again[1].per_core,
            "req/s/core",
            note=_clock(again[1]),
        ),
        Figure(
            f"mlflow models serve, LightGBM, at c={CLIENTS}",
            rival[1].per_core,
            "req/s/core",
            note=_clock(rival[1]),
        ),
        Figure(
            "ours / mlflow, LightGBM, req/s/core",
            again[1].per_core / rival[1].per_core,
            "×",
            at_least=AIM_LIGHTGBM,
        ),
        Figure(
            "Feast's feature server, p99 at c=1",
            _p(feast[0], 0.99),
            "ms",
            note=f"{_p(feast[0], 0.5):.1f} ms p50; features alone, no model",
        ),
        Figure(
            f"Feast's feature server, at c={CLIENTS}",
            feast[1].per_core,
            "req/s/core",
            note=_clock(feast[1]),
        ),
        Figure(
            "ours with model / Feast without, req/s/core",
            again[1].per_core / feast[1].per_core,
            "×",
        ),
        Figure(
            "longest answer during a swap", max(swap.ms), "ms", at_most=AIM_SWAP_MS, note=swapped
        ),
        Figure(
            "start to ready",
            started_s,
            "s",
            at_most=AIM_START_S,
            note="a restart, with the model served last at hand",
        ),
        Figure("memory of a worker", memory_mib, "MiB", at_most=AIM_MEMORY_MIB),
    ]


def _p(load: Load, share: float) -> float:
    return quantile(load.ms, share)


def _clock(load: Load) -> str:
    return f"{len(load.ms) / load.wall_s:,.0f} req/s by the clock, p99 {_p(load, 0.99):.1f} ms"


def _models() -> tuple[Any, Any, Any]:
    """A forest of the recipe, a LightGBM beside it, and the rows both learnt from."""
    import lightgbm
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(SEED)
    rows = rng.normal(size=(ROWS, len(CORE))).astype(np.float32)
    y = 1e-4 * (rows[:, 0] + rng.normal(size=ROWS))
    booster = lightgbm.train(
        {"num_threads": 1, "verbose": -1, "learning_rate": 0.1},
        lightgbm.Dataset(rows, y, feature_name=list(CORE)),
        200,
    )
    return (
        RandomForestRegressor(**FOREST, n_jobs=1, random_state=SEED).fit(rows, y),
        booster,
        rows[:2000],
    )


def _ours(settings: Settings, scale: float) -> Pair:
    url, messages = f"{settings.api_url}/predict", api.messages(settings)
    server = services.process(settings, "api")
    http_load.run(url, messages, 4, 200, server)
    api.feed(settings)
    alone = http_load.run(url, messages, 1, max(50, int(FEW * scale)), server)
    loads = alone, http_load.run(url, messages, CLIENTS, max(200, int(MANY * scale)), server)
    for load in loads:
        _require_good(load, "/predict")
    return loads


def _require_good(load: Load, what: str) -> None:
    if set(load.statuses) != {200}:
        raise BenchError(
            f"{what} answered {load.statuses}", "the numbers would not be those of good answers"
        )


def _swap(settings: Settings, made: Exported) -> Load:
    """Requests while another version is promoted and taken up."""
    import threading

    worker = threading.Thread(target=api.promote, args=(settings, made))
    worker.start()
    ends_s = time.monotonic() + 25.0
    url, server = f"{settings.api_url}/predict", services.process(settings, "api")
    load = http_load.run(
        url, api.messages(settings), 4, 10**9, server, lambda: time.monotonic() > ends_s
    )
    worker.join()
    return load


@contextmanager
def _process(command: list[str], url: str) -> Iterator[psutil.Process]:
    """A peer's server until the block ends; ready when anything answers. MLflow looks for its
    `uvicorn` on PATH.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    started = subprocess.Popen(
        command,
        env=os.environ | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process = psutil.Process(started.pid)
    try:
        services.wait(lambda: _answers(url), f"{command[2]} to start", api.READY_S)
        yield process
    finally:
        for each in (*process.children(recursive=True), process):
            each.terminate()
        started.wait(20)


def _answers(url: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _mlflow(settings: Settings, flavour: str, model: Any, rows: Any, scale: float) -> Pair:
    import mlflow

    folder, port = settings.root / f"peer-{flavour}", services.free_ports()["mlflow_port"]
    if flavour == "sklearn":
        mlflow.sklearn.save_model(
            model, str(folder), pip_requirements=[], serialization_format="cloudpickle"
        )
    else:
        mlflow.lightgbm.save_model(model, str(folder), pip_requirements=[])
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
    ]
    url = f"http://127.0.0.1:{port}/invocations"
    message = http_load.request(url, orjson.dumps({"inputs": rows[:1].tolist()}), {})
    with _process(
        [*command, "-p", str(port), "-w", "1"], f"http://127.0.0.1:{port}/ping"
    ) as server:
        return _peer(url, message, server, scale, "mlflow models serve")


def _feast(settings: Settings, scale: float) -> Pair:
    feast_objects.apply(settings)
    port = services.free_ports()["mlflow_port"]
    command = [
        str(Path(sys.executable).with_name("feast")),
        "-c",
        str(settings.feast_repo),
        "serve",
        "-p",
        str(port),
    ]
    command += [
        "--no-access-log",
        "--max-requests",
        "1000000",
    ]  # else it ends its worker after a thousand
    url = f"http://127.0.0.1:{port}/get-online-features"
    asked = {
        "feature_service": feast_objects.SERVICE,
        "entities": {"symbol": feature_rows.symbols(1)},
    }
    with _process(command, f"http://127.0.0.1:{port}/health") as server:
        return _peer(url, http_load.request(url, orjson.dumps(asked), {}), server, scale, "Feast")


def _peer(url: str, message: bytes, server: psutil.Process, scale: float, what: str) -> Pair:
    http_load.run(url, [message], 2, 50, server)
    alone = http_load.run(url, [message], 1, max(30, int(PEER_FEW * scale)), server)
    loads = alone, http_load.run(url, [message], CLIENTS, max(100, int(PEER_MANY * scale)), server)
    for load in loads:
        _require_good(load, what)
    return loads
