"""The API on a real Redis and a real ONNX model. Requests pass the whole ASGI stack; unexpected
exceptions are raised.
"""

import asyncio
import time

import httpx
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.redis_keys import HEARTBEAT_KEY
from contracts.windows import LEVELS
from feature_store.online.store import write_rows
from models.export.sklearn_estimator import export_estimator
from models.runtime import ExportedModel
from serving.app import create_app
from serving.state.registry_state import RegistryState, ServedVersion
from tests.feature_store.conftest import RedisServer
from tests.support.feature_rows import plain_row

KEY = "correct-horse-battery-staple"
SYMBOL = "SYNTH:AAA"
UNREACHED = 9  # the discard port: nothing listens there
SECOND_US = 1_000_000
# Long enough for a busy machine: only tests that stall Redis are about its timeouts.
PATIENT_MS = 10_000
HASTY_MS = 1_000


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
        """Run the event loop until `condition()` holds; False after ten seconds."""
        for _ in range(1000):
            if condition():
                return True
            self.runner.run(asyncio.sleep(0.01))
        return False

    def close(self) -> None:
        """Stop the application; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self.runner.run(self._lifespan.__aexit__(None, None, None))
        self.runner.run(self.client.aclose())
        self.runner.close()


class Feeder:
    """Writes feature rows of a chosen age and history through the online store's writer."""

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
        self.client.set(HEARTBEAT_KEY, int((time.time() - age_s) * 1000))


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
        return export_estimator(
            forest,
            rows,
            folder,
            features=features,
            seed=seed,
            trained_on="synthetic",
            trained_to_us=0,
            horizon_s=60,
        )

    return make


@pytest.fixture(scope="session")
def exported(export_model) -> ExportedModel:
    return export_model(seed=3)


@pytest.fixture(scope="session")
def production(exported: ExportedModel) -> ServedVersion:
    return ServedVersion("tick-model", "7", str(exported.folder), exported.digest)


@pytest.fixture(scope="session")
def registry_with(production: ServedVersion):
    """A registry that returns `states` one after the other and then repeats the last one. A state
    is a ServedVersion, a RegistryState, or an exception to raise.
    """

    def make(*states):
        left = list(states) or [production]

        async def read_registry(*_: object) -> RegistryState:
            state = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(state, Exception):
                raise state
            return state if isinstance(state, RegistryState) else RegistryState(state)

        return read_registry

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
        fixed |= {"feature_read_ms_max": PATIENT_MS, "redis_timeout_ms": PATIENT_MS}
        return Settings(**{"home": tmp_path_factory.mktemp("home"), **fixed, **overrides})

    return make


@pytest.fixture
def make_api(make_api_settings, registry_with):
    apis = []

    def make(registry=None, **overrides) -> Api:
        apis.append(Api(make_api_settings(**overrides), registry=registry or registry_with()))
        return apis[-1]

    yield make
    for api in apis:
        api.close()


@pytest.fixture
def api(make_api) -> Api:
    return make_api()


@pytest.fixture
def feeder(redis_server: RedisServer, make_api_settings):
    feeder = Feeder(redis_server, make_api_settings())
    feeder.client.flushall()
    yield feeder
    feeder.client.close()
