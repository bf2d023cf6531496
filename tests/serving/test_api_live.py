"""Features, event streams, the page and its document, batches, and a challenger alongside
Production."""

import asyncio
import json
import re
import zlib

import numpy as np
import orjson
import pytest

from contracts.errors import RegistryError
from contracts.features import CORE
from contracts.redis_keys import COMPARISON_KEY, DRIFT_KEY, PARITY_KEY, STATS_KEY
from models.runtime import load_model
from serving.core.predictor import BPS
from serving.state.registry_state import RegistryState, ServedVersion
from tests.serving.conftest import SYMBOL
from tests.serving.test_api_predict import refused

OTHER = "SYNTH:BBB"


@pytest.fixture
def fed(feeder):
    feeder.put(value=0.01)
    feeder.put(OTHER, value=0.02)
    feeder.beat()
    return feeder


@pytest.fixture(scope="session")
def challenger(export_model):
    exported = export_model(seed=21)
    return ServedVersion("tick-model", "8", str(exported.folder), exported.digest)


class TestFeatures:
    def test_features_come_with_their_age(self, api, fed):
        features = api.get(f"/v1/features/{SYMBOL}").json()
        assert (features["symbol"], features["status"], features["stale"]) == (SYMBOL, "ok", False)
        assert (
            set(features["features"]) == set(CORE) and features["features"]["log_return_1m"] == 0.01
        )
        assert 0 <= features["age_s"] < 60 and all(features["event_times_us"].values())

    def test_an_unknown_symbol_is_404_and_a_malformed_one_422(self, api, fed):
        refused(api.get("/v1/features/SYNTH:NOPE"), 404, "unknown_symbol")
        refused(api.get("/v1/features/nonsense"), 422, "invalid_request")

    def test_a_killed_redis_is_503(self, api, fed, redis_server):
        redis_server.kill()
        try:
            refused(api.get(f"/v1/features/{SYMBOL}"), 503, "store_unreachable")
        finally:
            redis_server.start()


class TestBatch:
    def columns(self, rows):
        return {name: rows[:, at].tolist() for at, name in enumerate(CORE)}

    def test_predictions_are_those_of_the_model(self, api, exported):
        rows = np.random.default_rng(5).normal(size=(300, len(CORE)))
        response = api.post("/predict/batch", json={"columns": self.columns(rows)}).json()
        assert (
            response["predictions_bps"]
            == (load_model(exported.folder, exported.digest).predict(rows) * BPS).tolist()
        )
        assert (response["model_version"], response["horizon_s"]) == ("7", 60)

    def test_only_batches_may_have_a_long_body(self, api):
        rows = np.random.default_rng(6).normal(size=(3000, len(CORE)))
        assert api.post("/predict/batch", json={"columns": self.columns(rows)}).status_code == 200
        refused(api.post("/predict", json={"columns": self.columns(rows)}), 413, "body_too_large")

    @pytest.mark.parametrize(
        "spoil",
        [lambda c: c.pop(CORE[0]), lambda c: c.update(odd=[1.0]), lambda c: c[CORE[0]].append(1.0)],
    )
    def test_columns_that_do_not_fit_are_refused(self, api, spoil):
        columns = self.columns(np.zeros((2, len(CORE))))
        spoil(columns)
        assert api.post("/predict/batch", json={"columns": columns}).status_code == 422

    def test_too_many_rows_are_refused(self, make_api):
        api = make_api(batch_rows_max=3)
        refused(
            api.post("/predict/batch", json={"columns": self.columns(np.zeros((4, len(CORE))))}),
            422,
            "too_many_rows",
        )


def scope_of(api, *symbols):
    query = "&".join(f"symbols={symbol}" for symbol in symbols).encode()
    headers = [(b"x-api-key", api.client.headers["x-api-key"].encode()), (b"host", b"api")]
    fixed = {
        "http_version": "1.1",
        "scheme": "http",
        "server": ("api", 80),
        "client": ("c", 1),
        "root_path": "",
        "raw_path": b"",
    }
    return {
        "type": "http",
        "method": "GET",
        "path": "/v1/predictions/stream",
        "query_string": query,
        "headers": headers,
        **fixed,
    }


class StreamReader:
    """The client of a stream: collects its results, and disconnects after `count` of them."""

    def __init__(self, count, on_event):
        self.count = count
        self.on_event = on_event
        self.body = b""
        self.results = []
        self.enough = asyncio.Event()
        self.messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def send(self, message):
        *blocks, self.body = (self.body + message.get("body", b"")).split(b"\n\n")
        for block in blocks:
            if block.startswith(b"event: prediction"):
                self.results.append(json.loads(block.partition(b"data: ")[2]))
                self.on_event(self.results)
        if len(self.results) >= self.count:
            self.enough.set()

    async def receive(self):
        if self.messages:
            return self.messages.pop()
        await self.enough.wait()
        return {"type": "http.disconnect"}


def events(api, *symbols, count, on_event=lambda results: None):
    """The first `count` results of a stream, or all when it ends before."""

    async def take():
        reader = StreamReader(count, on_event)
        async with asyncio.timeout(20):
            await api.app(scope_of(api, *symbols), reader.receive, reader.send)
        return reader.results

    return api.runner.run(take())


class TestStream:
    def test_a_symbol_is_sent_once_and_again_when_its_features_change(self, make_api, fed):
        api = make_api(stream_poll_s=0.05)
        newer_us = []

        def put_newer(results):
            if len(results) == 2:
                newer_us.append(fed.put(OTHER, value=0.03))

        results = events(api, SYMBOL, OTHER, count=3, on_event=put_newer)
        assert [result["symbol"] for result in results] == [SYMBOL, OTHER, OTHER]
        assert [result["status"] for result in results] == ["ok", "ok", "ok"]
        assert results[2]["feature_time_us"] == newer_us[0] > results[1]["feature_time_us"]

    def test_a_refusal_is_sent_too(self, make_api, fed):
        (result,) = events(make_api(stream_poll_s=0.05), "SYNTH:NOPE", count=1)
        assert result["status"] == "unknown_symbol"

    def test_it_ends_after_its_longest_time(self, make_api, fed):
        api = make_api(stream_poll_s=0.05, stream_s_max=1)
        (result,) = events(api, SYMBOL, count=99)
        assert result["symbol"] == SYMBOL

    def test_more_symbols_than_allowed_are_refused(self, make_api):
        api = make_api(symbols_max=1)
        problem = refused(
            api.get(f"/v1/predictions/stream?symbols={SYMBOL}&symbols={OTHER}"),
            422,
            "too_many_symbols",
        )
        assert problem["detail"] == "2 symbols requested, at most 1 are allowed."

    def test_without_a_model_there_is_no_stream(self, make_api, registry_with):
        api = make_api(registry=registry_with(RegistryError("no model")))
        refused(api.get(f"/v1/predictions/stream?symbols={SYMBOL}"), 503, "no_model")

    def test_open_streams_are_limited(self, make_api, fed):
        refused(
            make_api(streams_max=0).get(f"/v1/predictions/stream?symbols={SYMBOL}"),
            503,
            "too_many_streams",
        )


class TestPage:
    def test_the_document_has_everything_the_page_shows(
        self, make_api, registry_with, production, fed
    ):
        fed.client.set(
            PARITY_KEY, orjson.dumps({"unexplained": 0, "values_compared": 9, "taken_us": 1})
        )
        fed.client.set(DRIFT_KEY, orjson.dumps({"alerts": 2, "prediction_psi": 0.1}))
        fed.client.set(
            COMPARISON_KEY,
            orjson.dumps(
                {"gain_bps": 0.5, "low_bps": -0.25, "high_bps": 1.25, "taken_us": 2_000_000}
            ),
        )
        fed.client.hset(STATS_KEY, mapping={"lag": 3, "written": 12, "overflowed": 5})
        version = {
            "version": "7",
            "stage": "Production",
            "created_us": 1,
            "tags": {"gate_pass": "true", "sharpe": "2.5"},
        }
        api = make_api(registry=registry_with(RegistryState(production, versions=[version])))
        document = api.get("/v1/live").json()
        assert [symbol["symbol"] for symbol in document["symbols"]] == [SYMBOL, OTHER]
        assert set(document["symbols"][0]["features"]) == set(CORE)
        assert document["gate"] == [
            {
                "version": "7",
                "stage": "Production",
                "created_us": 1,
                "gate_pass": "true",
                "sharpe": "2.5",
                "max_drawdown": None,
            }
        ]
        assert (
            document["stream"]["parity"]["values_compared"] == 9
            and document["stream"]["writer"]["lag"] == 3
        )
        page = api.get("/metrics").text
        challenger = (
            "tick_challenger_taken_seconds 2.0",
            "tick_challenger_gain_bps 0.5",
            "tick_challenger_gain_low_bps -0.25",
            "tick_challenger_gain_high_bps 1.25",
        )
        others = (
            "tick_parity_unexplained 0.0",
            "tick_drift_features 2.0",
            "tick_writer_lag_messages 3.0",
            "tick_pipeline_lag_seconds",
        )
        for line in (*others, *challenger, "tick_writer_overflowed_rows_total 5.0"):
            assert line in page, line

    def test_without_a_model_it_has_the_symbols_and_the_reason(self, make_api, registry_with, fed):
        document = (
            make_api(registry=registry_with(RegistryError("no model"))).get("/v1/live").json()
        )
        assert document["model"] is None
        assert document["symbols"] == [
            {"symbol": SYMBOL, "status": "no_model"},
            {"symbol": OTHER, "status": "no_model"},
        ]
        assert document["checks"][0]["detail"] == "no model"

    @pytest.mark.parametrize("text", ["nonsense", "[1]", ""])
    def test_a_report_that_cannot_be_parsed_is_null(self, api, fed, text):
        fed.client.set(PARITY_KEY, text)
        fed.client.set(DRIFT_KEY, orjson.dumps({"alerts": 2}))
        stream = api.get("/v1/live").json()["stream"]
        assert (stream["parity"], stream["drift"]) == (None, {"alerts": 2})

    def test_without_redis_it_has_no_symbols(self, api, fed, redis_server):
        redis_server.kill()
        try:
            document = api.get("/v1/live").json()
            assert document["symbols"] == [] and not document["ready"]
            assert "\ntick_pipeline_lag_seconds " not in api.get("/metrics").text
        finally:
            redis_server.start()

    @pytest.mark.parametrize("path", ["/live", "/docs"])
    def test_a_page_loads_nothing_from_outside_and_its_policy_says_so(self, api, path):
        answer = api.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy
            and "http" not in policy
            and "script-src 'self' 'sha256-" in policy
        )
        loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", answer.text)
        assert {url for url in loaded if not url.startswith(("/assets/", "data:"))} == set()
        assert bool(loaded) is (path == "/docs")

    def test_the_assets_of_the_documentation_are_served(self, api):
        for path in ("/assets/swagger-ui-bundle.js", "/assets/swagger-ui.css"):
            assert len(api.get(path).content) > 10_000


class TestChallenger:
    @pytest.fixture
    def make_challenged(self, make_api, registry_with, production, challenger):
        return lambda **fields: make_api(
            registry=registry_with(RegistryState(production, challenger=challenger)), **fields
        )

    def records(self, api):
        records = []
        api.app.state.service.recorder.record = lambda record: records.append(
            orjson.loads(record.to_json())
        )
        return records

    def test_in_shadow_mode_it_is_recorded_on_the_same_features_and_not_served(
        self, make_challenged, fed
    ):
        api = make_challenged()
        records = self.records(api)
        (result,) = api.predict(SYMBOL).json()["results"]
        assert result["model_version"] == "7"
        assert [(record["model_version"], record["source"]) for record in records] == [
            ("7", "online"),
            ("8", "shadow"),
        ]
        assert (
            records[0]["features"] == records[1]["features"]
            and records[0]["request_id"] == records[1]["request_id"]
        )

    def test_with_a_share_a_symbol_always_has_the_same_model(self, make_challenged, fed):
        symbols = [f"SYNTH:S{at}" for at in range(40)]
        for symbol in symbols:
            fed.put(symbol)
        api = make_challenged(challenger_share=0.5)
        versions = [
            [result["model_version"] for result in api.predict(*symbols).json()["results"]]
            for _ in range(2)
        ]
        assert (
            versions[0]
            == versions[1]
            == ["8" if zlib.crc32(symbol.encode()) < 2**31 else "7" for symbol in symbols]
        )
        assert {"7", "8"} == set(versions[0])

    def test_the_model_that_does_not_serve_a_symbol_is_recorded(self, make_challenged, fed):
        api = make_challenged(challenger_share=1)
        records = self.records(api)
        assert api.predict(SYMBOL).json()["results"][0]["model_version"] == "8"
        assert [(record["model_version"], record["source"]) for record in records] == [
            ("8", "online"),
            ("7", "shadow"),
        ]

    def test_a_challenger_with_other_features_is_not_used(
        self, make_api, registry_with, production, export_model, fed
    ):
        exported = export_model(seed=22, features=CORE[:-1])
        state = RegistryState(
            production,
            challenger=ServedVersion("tick-model", "9", str(exported.folder), exported.digest),
        )
        api = make_api(registry=registry_with(state), challenger_share=1)
        assert api.predict(SYMBOL).json()["results"][0]["model_version"] == "7"
        assert api.app.state.service.models.challenger is None
