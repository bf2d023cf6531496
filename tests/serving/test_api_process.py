"""The API as a process: `python -m serving.main` under uvicorn, a model from an MLflow registry,
and the command `tick predict`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import httpx
import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError, TickError
from models.registry import Registry
from models.tracking import client, experiment_id
from models.versions import GATE_PASS
from serving.state.registry_state import read_registry
from tests.conftest import free_ports
from tests.serving.conftest import HASTY_MS, KEY, PATIENT_MS, SYMBOL, UNREACHED, Feeder

REPO = Path(__file__).parents[2]


def environment(settings: Settings) -> dict[str, str]:
    ports = {
        "REDIS_PORT": settings.redis_port,
        "API_PORT": settings.api_port,
        "KAFKA_PORT": settings.kafka_port,
    }
    ports |= {"FLINK_PORT": settings.flink_port}
    timeouts = {"FEATURE_READ_MS_MAX": HASTY_MS, "REDIS_TIMEOUT_MS": HASTY_MS}
    ours = {"HOME": settings.home, **timeouts, **ports}
    return {
        **os.environ,
        **{f"TICK_{name}": str(value) for name, value in ours.items()},
        "TICK_API_KEY": KEY,
    }


class Process:
    """`python -m serving.main` until `stop`."""

    def __init__(self, settings: Settings, **more: str) -> None:
        self.settings = settings
        self.http = httpx.Client(base_url=settings.api_url, headers={"X-API-Key": KEY}, timeout=10)
        command = [sys.executable, "-W", "ignore", "-m", "serving.main"]
        self.process = subprocess.Popen(
            command, cwd=REPO, env={**environment(settings), **more}, stderr=subprocess.PIPE
        )
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/healthz").status_code == 200:
                    return
            assert self.process.poll() is None, self.process.stderr.read().decode()
            time.sleep(0.1)
        raise AssertionError("the API did not start")

    def predict(self, *symbols: str, **options) -> httpx.Response:
        return self.http.post("/predict", json={"symbols": list(symbols)}, **options)

    def stop(self, by: int = signal.SIGTERM) -> str:
        self.process.send_signal(by)
        _, stderr = self.process.communicate(timeout=30)
        self.http.close()
        return stderr.decode()


@pytest.fixture(scope="module")
def live(redis_server, exported, tmp_path_factory) -> Settings:
    """Settings of a home whose registry holds one Production model."""
    ports = {
        "kafka_port": UNREACHED,
        "flink_port": UNREACHED,
        "redis_port": redis_server.port,
        "api_port": free_ports()["api_port"],
    }
    settings = Settings(
        home=tmp_path_factory.mktemp("live"),
        api_key=KEY,
        mlflow_tracking_uri=None,
        # Importing MLflow keeps a small machine busy for seconds.
        redis_timeout_ms=2_000,
        feature_read_ms_max=2_000,
        **ports,
    )
    promote_first(settings, exported)
    return settings


def promote_first(settings: Settings, exported) -> None:
    """Register the model in an empty registry and make it Production."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing MLflow warns about its own types
        mlflow = client(settings)
        run = mlflow.create_run(experiment_id(settings, mlflow, settings.experiment))
        version = Registry(settings).register_version(
            exported, run.info.run_id, {GATE_PASS: "true"}
        )
        Registry(settings).promote(version)


@pytest.fixture
def api(live):
    yield from started(live)


@pytest.fixture
def patient_api(live):
    """An API with time-outs that suit a busy machine."""
    timeouts = {"TICK_FEATURE_READ_MS_MAX", "TICK_REDIS_TIMEOUT_MS"}
    yield from started(live, **dict.fromkeys(timeouts, str(PATIENT_MS)))


def started(live, **more: str):
    process = Process(live, **more)
    yield process
    if process.process.poll() is None:
        process.stop()


@pytest.fixture
def fed(redis_server, live):
    feeder = Feeder(redis_server, live)
    feeder.client.flushall()
    feeder.put()
    feeder.beat()
    yield feeder
    feeder.client.close()


def tick(settings: Settings, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore", "-m", "cli.main", *arguments]
    return subprocess.run(
        command,
        cwd=REPO,
        env={**environment(settings), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_production_model_answers_over_http_and_on_the_command_line(api, fed, live):
    fed.put("BINANCE:BTCUSDT", age_s=100)
    fed.beat()
    assert api.http.get("/readyz").json()["ready"] is True
    (result,) = api.predict(SYMBOL).json()["results"]
    assert (result["model_name"], result["model_version"], result["status"]) == (
        "tick-model",
        "1",
        "ok",
    )
    shown = tick(live, "predict", SYMBOL, "BINANCE:BTCUSDT", "--features")
    assert shown.returncode == 0, shown.stderr
    assert "tick-model v1" in shown.stdout
    assert (
        "stale; the model was trained on synthetic ticks, not on ticks of BINANCE" in shown.stdout
    )
    assert f"{SYMBOL}  log_return_1m = 0.01" in shown.stdout
    completed = tick(live, "predict", SYMBOL, "SYNTH:NOPE", "--json")
    assert completed.returncode == 1
    assert [result["status"] for result in json.loads(completed.stdout)["results"]] == [
        "ok",
        "unknown_symbol",
    ]
    assert "unknown_symbol" in tick(live, "predict", "SYNTH:NOPE").stdout
    malformed = tick(live, "predict", "not a symbol")
    assert malformed.returncode == 1
    assert "symbols.0" in malformed.stderr


def test_a_stalled_and_a_killed_redis_are_503_over_http(api, fed, redis_server):
    redis_server.stall()
    try:
        answers = [api.predict(SYMBOL) for _ in range(3)]
    finally:
        redis_server.resume()
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (503, "store_unreachable")
    }
    assert api.predict(SYMBOL).status_code == 200
    redis_server.kill()
    assert api.predict(SYMBOL).json()["code"] == "store_unreachable"
    redis_server.start()
    fed.put()
    assert api.predict(SYMBOL).status_code == 200


def raw(settings: Settings, request: bytes) -> bytes:
    with socket.create_connection((settings.host, settings.api_port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def test_a_chunked_body_is_cut_off_at_the_cap(api, live):
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type:"
        " application/json\r\n"
    )
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    assert (
        b" 413 "
        in raw(
            live,
            f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
            + chunk * 2
            + b"1\r\n \r\n0\r\n\r\n",
        ).split(b"\r\n")[0]
    )
    assert b" 413 " in raw(live, f"{head}Content-Length: 65537\r\n\r\n".encode()).split(b"\r\n")[0]
    assert api.http.get("/healthz").status_code == 200


def test_it_restarts_after_a_kill_and_ends_without_errors_on_a_signal(api, fed, live):
    api.stop(signal.SIGKILL)
    again = Process(live)
    assert again.predict(SYMBOL).status_code == 200
    stderr = again.stop()
    assert again.process.returncode in (
        0,
        -signal.SIGTERM,
    )  # uvicorn finishes its work, then ends by the signal it got
    assert "Traceback" not in stderr
    assert KEY not in stderr


def test_metrics_of_several_workers_are_summed(api, fed, live):
    api.stop()
    workers = Process(live, TICK_API_WORKERS="2")
    try:
        for _ in range(20):
            with httpx.Client(base_url=live.api_url, headers={"X-API-Key": KEY}) as fresh:
                assert fresh.post("/predict", json={"symbols": [SYMBOL]}).status_code == 200
        assert 'tick_results_total{status="ok"} 20.0' in workers.http.get("/metrics").text
    finally:
        workers.stop()


async def open_streams(
    http: httpx.AsyncClient, count: int, stack: contextlib.AsyncExitStack
) -> list[int]:
    """Status codes of `count` event streams opened at once; accepted ones stay open until `stack`
    closes.
    """
    path = "/v1/predictions/stream"
    opened = [http.stream("GET", path, params={"symbols": SYMBOL}) for _ in range(count)]
    return [
        answer.status_code
        for answer in await asyncio.gather(*map(stack.enter_async_context, opened))
    ]


def test_streams_are_limited_when_many_open_at_once_and_block_nothing_else(api, fed, live):
    api.stop()
    server = Process(live, TICK_STREAMS_MAX="4", TICK_API_REQUESTS_MAX="40")

    async def story() -> tuple[list[int], list[int], list[int]]:
        options = {"base_url": live.api_url, "headers": {"X-API-Key": KEY}, "timeout": 20}
        async with httpx.AsyncClient(**options, limits=httpx.Limits(max_connections=100)) as http:
            async with contextlib.AsyncExitStack() as stack:
                streams = await open_streams(http, 40, stack)
                fed.put()
                fed.beat()
                others = [await http.post("/predict", json={"symbols": [SYMBOL]})]
                others += [await http.get(path) for path in ("/readyz", "/metrics", "/healthz")]
            async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
                while (await open_streams(http, 1, stack)) != [
                    200
                ]:  # the slots of the closed ones are free
                    await asyncio.sleep(0.1)
                reopened = [
                    200,
                    *await open_streams(http, 3, stack),
                    *await open_streams(http, 1, stack),
                ]
        return sorted(streams), [answer.status_code for answer in others], reopened

    try:
        streams, others, reopened = asyncio.run(story())
    finally:
        server.stop()
    assert streams == [200] * 4 + [503] * 36
    assert others == [200, 200, 200, 200]
    assert reopened == [200, 200, 200, 200, 503]


def test_the_first_model_is_served_by_every_worker_on_its_signal(api, fed, live, exported):
    api.stop()
    settings = live.model_copy(update={"model_name": "first-model"})
    never = "3600"  # only the signal triggers a read
    intervals = {"TICK_MODEL_RETRY_S": never, "TICK_MODEL_REFRESH_S": never}
    workers = Process(settings, TICK_API_WORKERS="2", TICK_MODEL_NAME="first-model", **intervals)
    try:
        check = workers.http.get("/readyz").json()["checks"][0]
        assert check["detail"] == "first-model has no Production version"
        promote_first(settings, exported)
        eventually_served_by(workers, 2)
        fed.put()
        assert workers.predict(SYMBOL).json()["results"][0]["model_name"] == "first-model"
    finally:
        workers.stop()


def eventually_served_by(server: Process, workers: int) -> None:
    """Wait until that many workers serve a model."""
    deadline = time.monotonic() + 120
    while f"tick_model_swaps_total {workers}.0" not in server.http.get("/metrics").text:
        assert time.monotonic() < deadline, server.http.get("/readyz").text
        time.sleep(0.2)


class Load:
    """Four clients that ask without pause, and rows that stay fresh: a promotion takes seconds on a
    busy machine. `answers` are pairs of status and model version.
    """

    def __init__(self, settings: Settings, feeder: Feeder) -> None:
        self.settings, self.feeder = settings, feeder
        self.answers: list[tuple[int, str]] = []
        self.ended = threading.Event()
        works = (self.feed, self.ask, self.ask, self.ask, self.ask)
        self.threads = [threading.Thread(target=work) for work in works]

    def feed(self) -> None:
        while not self.ended.wait(0.2):
            self.feeder.put()
            self.feeder.beat()

    def ask(self) -> None:
        headers = {"X-API-Key": KEY}
        with httpx.Client(base_url=self.settings.api_url, headers=headers, timeout=30) as http:
            while not self.ended.wait(0.005):
                answer = http.post("/predict", json={"symbols": [SYMBOL]})
                version = answer.json()["results"][0].get("model_version", "none")
                self.answers.append((answer.status_code, version))

    def wait_for(self, version: str) -> None:
        deadline = time.monotonic() + 180
        while self.answers[-1:] != [(200, version)]:
            assert time.monotonic() < deadline, self.answers[-1:]
            time.sleep(0.05)

    def __enter__(self) -> "Load":
        self.feeder.put()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)


def test_promote_and_roll_back_under_load_fail_no_request_and_every_answer_names_its_version(
    patient_api, fed, live, export_model
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = client(live)
        run = mlflow.create_run(experiment_id(live, mlflow, live.experiment))
        second = Registry(live).register_version(
            export_model(seed=31), run.info.run_id, {GATE_PASS: "true"}
        )
    with Load(live, fed) as load:
        load.wait_for("1")
        Registry(live).promote(second)
        load.wait_for(second)
        Registry(live).roll_back()
        load.wait_for("1")
    assert {status for status, _ in load.answers} == {200}
    assert {version for _, version in load.answers} == {"1", second}


def test_a_registry_without_production_is_an_error_of_the_child(tmp_path):
    state = asyncio.run(read_registry(Settings(home=tmp_path)))
    assert (
        isinstance(state.production, RegistryError)
        and "tick-model has no Production version" in state.production.message
    )
    assert (state.challenger, dict(state.others), list(state.versions)) == (None, {}, [])


def test_an_invalid_registry_is_an_error(tmp_path):
    with pytest.raises(TickError, match="registry"):
        asyncio.run(
            read_registry(Settings(home=tmp_path, mlflow_tracking_uri="nonsense://nowhere"))
        )


def test_without_a_key_it_does_not_start(live):
    env = {name: value for name, value in environment(live).items() if name != "TICK_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "serving.main"],
        cwd=REPO,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "the API has no key" in done.stderr
    assert "set TICK_API_KEY" in done.stderr


def test_the_command_fails_without_an_api(live):
    done = tick(live, "predict", SYMBOL)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "tick serve" in done.stderr
