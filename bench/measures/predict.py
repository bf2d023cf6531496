"""`/predict` compared with `mlflow models serve` and Feast's feature server.

All run on the same machine with one worker each. The peers get the same model (n_jobs=1) and the
same Redis, but do less: `/predict` also checks a key, validates, and writes records and metrics;
MLflow reads no features, and Feast has no model.
"""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from bench.errors import BenchError
from bench.load import feature_rows, http_load
from bench.load.http_load import Load
from bench.platform import api, services
from bench.report.figures import Figure, quantile
from contracts.config.groups.redis import RedisSettings
from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.features import CORE
from feature_store.feast_repo import objects as feast_objects
from models.export.lightgbm_booster import export_booster
from models.export.sklearn_estimator import export_estimator
from models.runtime import ExportedModel
from stack import platform
from training.tick.model import FOREST

ROWS, SEED = 20_000, 7
CLIENTS, MANY, FEW = 32, 8000, 1500
PEER_MANY, PEER_FEW = 1200, 300
AIM_P99_MS = 10.0
AIM_PER_CORE = 1000.0
AIM_FOREST = 10.0
AIM_LIGHTGBM = 3.0
AIM_MEMORY_MIB = 300.0
AIM_START_S = 5.0
AIM_SWAP_MS = 100.0


@dataclass(frozen=True)
class Loads:
    """The loads of one server: one client (`single`), then CLIENTS at once (`many`)."""

    single: Load
    many: Load


def measure(scale: float = 1.0) -> list[Figure]:
    """The forest first, then a swap to LightGBM under load, then Feast's server."""
    with (
        services.run_services(
            ("redis", "kafka"), redis_timeout_ms=5000, feature_read_ms_max=5000
        ) as settings,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # MLflow, scikit-learn and LightGBM warn of each other
        forest, booster, rows = _train_models()
        forest_folder, booster_folder = settings.root / "forest", settings.root / "lightgbm"
        facts = api.MODEL_FACTS
        api.promote(settings, export_estimator(forest, rows, forest_folder, seed=SEED, **facts))
        api.write_features(settings)
        api.restart(settings)
        started_s = api.restart(settings)  # the first start had to download the model
        forest_figures = _forest_figures(
            _measure_api(settings, scale), _measure_mlflow(settings, "sklearn", forest, rows, scale)
        )
        swap = _swap(settings, export_booster(booster, rows, booster_folder, **facts))
        api.write_features(settings)
        lightgbm = _measure_api(settings, scale)
        mlflow = _measure_mlflow(settings, "lightgbm", booster, rows, scale)
        feast = _measure_feast(settings, scale)
        return [
            *forest_figures,
            *_lightgbm_figures(lightgbm, mlflow),
            *_feast_figures(lightgbm, feast),
            *_process_figures(settings, swap, started_s),
        ]


def _forest_figures(ours: Loads, mlflow: Loads) -> list[Figure]:
    requests = f"{len(ours.single.ms):,} requests one after the other"
    return [
        _at_one_client(
            "/predict, forest",
            ours.single,
            f"{requests}, {_p50_ms(ours.single):.2f} ms p50",
            AIM_P99_MS,
        ),
        _at_clients("/predict, forest", ours.many, AIM_PER_CORE),
        _at_one_client(
            "mlflow models serve, forest", mlflow.single, f"{_p50_ms(mlflow.single):.1f} ms p50"
        ),
        _at_clients("mlflow models serve, forest", mlflow.many),
        _ratio("ours / mlflow, forest", ours.many, mlflow.many, AIM_FOREST),
    ]


def _lightgbm_figures(ours: Loads, mlflow: Loads) -> list[Figure]:
    return [
        _at_one_client("/predict, LightGBM", ours.single, f"{_p50_ms(ours.single):.2f} ms p50"),
        _at_clients("/predict, LightGBM", ours.many),
        _at_clients("mlflow models serve, LightGBM", mlflow.many),
        _ratio("ours / mlflow, LightGBM", ours.many, mlflow.many, AIM_LIGHTGBM),
    ]


def _feast_figures(ours: Loads, feast: Loads) -> list[Figure]:
    return [
        _at_one_client(
            "Feast's feature server",
            feast.single,
            f"{_p50_ms(feast.single):.1f} ms p50; features only, no model",
        ),
        _at_clients("Feast's feature server", feast.many),
        _ratio("ours with model / Feast without", ours.many, feast.many),
    ]


def _at_one_client(server: str, load: Load, note: str, at_most: float | None = None) -> Figure:
    p99_ms = _quantile_ms(load, 0.99)
    return Figure(f"{server}, p99 at c=1", p99_ms, "ms", at_most=at_most, note=note)


def _p50_ms(load: Load) -> float:
    return _quantile_ms(load, 0.5)


def _at_clients(server: str, load: Load, at_least: float | None = None) -> Figure:
    note = _throughput(load)
    return Figure(f"{server}, at c={CLIENTS}", load.per_core, "req/s/core", at_least, note=note)


def _ratio(what: str, ours: Load, theirs: Load, at_least: float | None = None) -> Figure:
    return Figure(f"{what}, req/s/core", ours.per_core / theirs.per_core, "×", at_least)


def _process_figures(settings: Settings, swap: Load, started_s: float) -> list[Figure]:
    failed = sum(count for status, count in swap.statuses.items() if status != 200)
    process = platform.find_service(settings, "api").process()
    return [
        Figure(
            "longest answer during a swap",
            max(swap.ms),
            "ms",
            at_most=AIM_SWAP_MS,
            note=f"{len(swap.ms):,} requests while a new version was promoted, {failed} failed",
        ),
        Figure(
            "start to ready",
            started_s,
            "s",
            at_most=AIM_START_S,
            note="a restart, with the model served last in the cache",
        ),
        Figure(
            "memory of a worker",
            process.memory_info().rss / 2**20 if process else 0.0,
            "MiB",
            at_most=AIM_MEMORY_MIB,
        ),
    ]


def _quantile_ms(load: Load, share: float) -> float:
    return quantile(load.ms, share)


def _throughput(load: Load) -> str:
    per_s = len(load.ms) / load.wall_s
    return f"{per_s:,.0f} req/s by the clock, p99 {_quantile_ms(load, 0.99):.1f} ms"


def _train_models() -> tuple[Any, Any, Any]:
    """A forest with the platform's parameters, a LightGBM model, and some training rows."""
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
    forest = RandomForestRegressor(**FOREST, n_jobs=1, random_state=SEED).fit(rows, y)
    return forest, booster, rows[:2000]


def _measure_api(settings: Settings, scale: float) -> Loads:
    url, messages = f"{settings.api_url}/predict", api.messages(settings)
    server = services.process(settings, "api")
    http_load.send_requests(url, messages, 4, 200, server)
    api.write_features(settings)
    few, many = max(50, int(FEW * scale)), max(200, int(MANY * scale))
    loads = Loads(
        http_load.send_requests(url, messages, 1, few, server),
        http_load.send_requests(url, messages, CLIENTS, many, server),
    )
    _require_success(loads, "/predict")
    return loads


def _require_success(loads: Loads, name: str) -> None:
    for load in (loads.single, loads.many):
        if set(load.statuses) != {200}:
            raise BenchError(
                f"{name}: responses by status {load.statuses}, expected only 200",
                "see the log of the server",
            )


def _swap(settings: Settings, exported: ExportedModel) -> Load:
    """Requests while another version is promoted and loaded by the API."""
    import threading

    worker = threading.Thread(target=api.promote, args=(settings, exported))
    worker.start()
    ends_s = time.monotonic() + 25.0
    url, server = f"{settings.api_url}/predict", services.process(settings, "api")
    load = http_load.send_requests(
        url, api.messages(settings), 4, 10**9, server, lambda: time.monotonic() > ends_s
    )
    worker.join()
    return load


@contextmanager
def _run_server(command: list[str], url: str) -> Iterator[psutil.Process]:
    """Run a peer's server during the `with` block; it is ready once `url` answers."""
    # MLflow starts the `uvicorn` that it finds on PATH.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    child = subprocess.Popen(
        command,
        env=os.environ | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process = psutil.Process(child.pid)
    try:
        services.wait(lambda: _answers(url), f"{command[2]} to start", api.READY_S)
        yield process
    finally:
        for each in (*process.children(recursive=True), process):
            each.terminate()
        child.wait(20)


def _answers(url: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


def _measure_mlflow(
    settings: HomeSettings, flavour: str, model: Any, rows: Any, scale: float
) -> Loads:
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
    with _run_server(
        [*command, "-p", str(port), "-w", "1"], f"http://127.0.0.1:{port}/ping"
    ) as server:
        return _measure_peer(url, message, server, scale, "mlflow models serve")


def _measure_feast(settings: RedisSettings, scale: float) -> Loads:
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
    # By default its worker ends after a thousand requests.
    command += ["--no-access-log", "--max-requests", "1000000"]
    url = f"http://127.0.0.1:{port}/get-online-features"
    query = {
        "feature_service": feast_objects.SERVICE,
        "entities": {"symbol": feature_rows.symbols(1)},
    }
    with _run_server(command, f"http://127.0.0.1:{port}/health") as server:
        return _measure_peer(
            url, http_load.request(url, orjson.dumps(query), {}), server, scale, "Feast"
        )


def _measure_peer(
    url: str, message: bytes, server: psutil.Process, scale: float, name: str
) -> Loads:
    http_load.send_requests(url, [message], 2, 50, server)
    few, many = max(30, int(PEER_FEW * scale)), max(100, int(PEER_MANY * scale))
    loads = Loads(
        http_load.send_requests(url, [message], 1, few, server),
        http_load.send_requests(url, [message], CLIENTS, many, server),
    )
    _require_success(loads, name)
    return loads
