"""The API on a real Redis and a real ONNX model; requests go through the whole ASGI stack,
last-resort errors are raised.
"""

import asyncio
import time

import httpx
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.windows import LEVELS
from feature_store.online.redis_layout import HEARTBEAT_REDIS_KEY
from feature_store.online.store import write_rows
from models.export import export_estimator
from models.runtime import ExportedModel
from serving.app import create_app
from serving.state.production_model import Answers, Found
from tests.feature_store.conftest import RedisServer
from tests.support.rows import plain_row

KEY = "correct-horse-battery-staple"
SYMBOL = "SYNTH:AAA"
UNREACHED = 9  # the discard port: no one listens
SECOND_US = 1_000_000
PATIENT_MS, HASTY_MS = (
    10_000,
    1_000,
)  # a busy machine is not what these tests are about; a stalled Redis is


class Api:
    """A started application on its own event loop; `post` and `get` carry the key."""

    def __init__(self, settings: Settings, **options) -> None:
        self.runner = asyncio.Runner()
        self.app = create_app(settings, **options)
        transport = httpx.ASGITransport(self.app)
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://api", headers={"X-API-Key": KEY}
        )
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._ended = False
        self.runner.run(self._lifespan.__aenter__())

    def request(self, method: str, path: str, **options) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **options))

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)

    def predict(self, *symbols: str, **fields) -> httpx.Response:
        return self.post("/predict", json={"symbols": list(symbols), **fields})

    def wait(self, condition) -> bool:
        """Let the application work until `condition()` holds; False after ten seconds."""
        for _ in range(1000):
            if condition():
                return True
            self.runner.run(asyncio.sleep(0.01))
        return False

    def close(self) -> None:
        """End the application; a second time is none."""
        if self._ended:
            return
        self._ended = True
        self.runner.run(self._lifespan.__aexit__(None, None, None))
        self.runner.run(self.client.aclose())
        self.runner.close()


class Feeder:
    """Writes feature rows of a chosen age and warmth through the real online table."""

    def __init__(self, server: RedisServer, settings: Settings) -> None:
        self.client, self.settings = server.client(), settings

    def put(
        self, symbol: str = SYMBOL, age_s: float = 0.0, value: float = 0.01, views=LEVELS, **fields
    ) -> int:
        """A complete set of rows, one per view, `age_s` old; returns their event time in µs."""
        now_us = time.time_ns() // 1000
        time_ms = (now_us - int(age_s * SECOND_US)) // 1000
        rows = [{**plain_row(level.view, symbol, time_ms, value), **fields} for level in views]
        write_rows(self.client, rows, self.settings, now_us)
        return time_ms * 1000

    def beat(self, age_s: float = 0.0) -> None:
        self.client.set(HEARTBEAT_REDIS_KEY, int((time.time() - age_s) * 1000))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def export_model(tmp_path_factory: pytest.TempPathFactory):
    def make(seed: int, features: tuple[str, ...] = CORE) -> ExportedModel:
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(400, len(features))).astype(np.float32)
        forest = RandomForestRegressor(n_estimators=5, max_depth=4, random_state=seed).fit(
            rows, rows[:, 0] * 1e-4
        )
        folder = tmp_path_factory.mktemp("model")
        known = {"trained_on": "synthetic", "trained_to_us": 0, "horizon_s": 60}
        return export_estimator(forest, rows, folder, features=features, seed=seed, **known)

    return make


@pytest.fixture(scope="session")
def exported(export_model) -> ExportedModel:
    return export_model(seed=3)


@pytest.fixture(scope="session")
def found(exported: ExportedModel) -> Found:
    return Found("tick-model", "7", str(exported.folder), exported.digest)


@pytest.fixture(scope="session")
def registry_with(found: Found):
    """A registry that answers what is in `answers`: a Found, Answers, or an error to raise; the
    last one stays.
    """

    def make(*answers):
        left = list(answers) or [found]

        async def resolve(*_: object) -> Answers:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, Answers) else Answers(answer)

        return resolve

    return make


@pytest.fixture(scope="session")
def make_api_settings(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory):
    def make(**overrides) -> Settings:
        fixed = {
            "redis_port": redis_server.port,
            "kafka_port": UNREACHED,
            "flink_port": UNREACHED,
            "api_key": KEY,
            "prediction_sample": 0,
        }
        fixed |= {"feature_read_ms_max": PATIENT_MS}
        return Settings(**{"home": tmp_path_factory.mktemp("home"), **fixed, **overrides})

    return make


@pytest.fixture
def make_api(make_api_settings, registry_with):
    made = []

    def make(registry=None, **overrides) -> Api:
        made.append(Api(make_api_settings(**overrides), registry=registry or registry_with()))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api) -> Api:
    return make_api()


@pytest.fixture
def feeder(redis_server: RedisServer, make_api_settings):
    made = Feeder(redis_server, make_api_settings())
    made.client.flushall()
    yield made
    made.client.close()
