"""Features, event streams, the page and its document, batches, and a challenger alongside
Production."""

import asyncio
import json
import zlib

import numpy as np
import orjson
import pytest

from contracts.features import CORE
from contracts.signals import DRIFT_KEY, DUEL_KEY, PARITY_KEY
from feature_store.online.redis_layout import STATS_REDIS_KEY
from models.runtime import load_model
from serving.core.predictor import BPS
from serving.state.production_model import Answers, Found
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
def rival(export_model):
    made = export_model(seed=21)
    return Found("tick-model", "8", str(made.folder), made.digest)


class TestFeatures:
    def test_they_are_those_that_were_written_with_their_age(self, api, fed):
        told = api.get(f"/v1/features/{SYMBOL}").json()
        assert (told["symbol"], told["status"], told["stale"]) == (SYMBOL, "ok", False)
        assert set(told["features"]) == set(CORE) and told["features"]["log_return_1m"] == 0.01
        assert 0 <= told["age_s"] < 60 and all(told["event_times_us"].values())

    def test_an_unknown_symbol_is_404_and_an_odd_one_422(self, api, fed):
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

    def test_a_row_gets_what_the_model_says(self, api, exported):
        rows = np.random.default_rng(5).normal(size=(300, len(CORE)))
        told = api.post("/predict/batch", json={"columns": self.columns(rows)}).json()
        assert (
            told["predictions_bps"]
            == (load_model(exported.folder, exported.digest).predict(rows) * BPS).tolist()
        )
        assert (told["model_version"], told["horizon_s"]) == ("7", 60)

    def test_a_long_body_is_welcome_here_alone(self, api):
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


class Reader:
    """The other end of a stream: keeps its events, and goes away when it has `count` of them."""

    def __init__(self, count):
        self.count, self.body, self.found, self.enough = count, b"", [], asyncio.Event()
        self.messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def send(self, message):
        *blocks, self.body = (self.body + message.get("body", b"")).split(b"\n\n")
        told = [
            block.partition(b"data: ")[2]
            for block in blocks
            if block.startswith(b"event: prediction")
        ]
        self.found += [json.loads(text) for text in told]
        if len(self.found) >= self.count:
            self.enough.set()

    async def receive(self):
        if self.messages:
            return self.messages.pop()
        await self.enough.wait()
        return {"type": "http.disconnect"}


def events(api, *symbols, count):
    """The first `count` events of a stream, or all when it ends before."""

    async def take():
        reader = Reader(count)
        async with asyncio.timeout(20):
            await api.app(scope_of(api, *symbols), reader.receive, reader.send)
        return reader.found

    return api.runner.run(take())


class TestStream:
    def test_it_tells_each_symbol_once_and_again_when_its_features_are_newer(self, make_api, fed):
        api = make_api(stream_poll_s=0.05)
        first = events(api, SYMBOL, OTHER, count=2)
        assert [told["symbol"] for told in first] == [SYMBOL, OTHER] and all(
            told["status"] == "ok" for told in first
        )

    def test_a_refusal_is_told_too(self, make_api, fed):
        (told,) = events(make_api(stream_poll_s=0.05), "SYNTH:NOPE", count=1)
        assert told["status"] == "unknown_symbol"

    def test_it_ends_by_itself(self, make_api, fed):
        assert events(make_api(stream_poll_s=0.05, stream_s_max=1), SYMBOL, count=99)

    def test_only_so_many_at_a_time(self, make_api, fed):
        refused(
            make_api(streams_max=0).get(f"/v1/predictions/stream?symbols={SYMBOL}"),
            503,
            "too_many_streams",
        )


class TestPage:
    def test_the_document_has_everything_the_page_shows(self, make_api, registry_with, found, fed):
        fed.client.set(
            PARITY_KEY, orjson.dumps({"unexplained": 0, "values_compared": 9, "taken_us": 1})
        )
        fed.client.set(DRIFT_KEY, orjson.dumps({"alerts": 2, "prediction_psi": 0.1}))
        fed.client.set(
            DUEL_KEY,
            orjson.dumps(
                {"gain_bps": 0.5, "low_bps": -0.25, "high_bps": 1.25, "taken_us": 2_000_000}
            ),
        )
        fed.client.hset(STATS_REDIS_KEY, mapping={"lag": 3, "written": 12, "overflowed": 5})
        version = {
            "version": "7",
            "stage": "Production",
            "created_us": 1,
            "tags": {"gate_pass": "true", "sharpe": "2.5"},
        }
        api = make_api(registry=registry_with(Answers(found, versions=[version])))
        told = api.get("/v1/live").json()
        assert [symbol["symbol"] for symbol in told["symbols"]] == [SYMBOL, OTHER]
        assert set(told["symbols"][0]["features"]) == set(CORE)
        assert told["gate"] == [
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
            told["stream"]["parity"]["values_compared"] == 9
            and told["stream"]["writer"]["lag"] == 3
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

    def test_it_is_told_also_while_redis_is_away(self, api, fed, redis_server):
        redis_server.kill()
        try:
            told = api.get("/v1/live").json()
            assert told["symbols"] == [] and not told["ready"]
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
        assert "//" not in "".join(
            part for part in answer.text.split() if part.startswith(("src=", "href="))
        )

    def test_what_the_documentation_loads_is_here(self, api):
        for path in ("/assets/swagger-ui-bundle.js", "/assets/swagger-ui.css"):
            assert len(api.get(path).content) > 10_000


class TestChallenger:
    @pytest.fixture
    def tried(self, make_api, registry_with, found, rival):
        return lambda **fields: make_api(
            registry=registry_with(Answers(found, challenger=rival)), **fields
        )

    def records(self, api):
        kept = []
        api.app.state.service.recorder.record = lambda symbol, fields: kept.append(fields)
        return kept

    def test_in_the_shadow_it_changes_no_answer_and_is_recorded_on_the_same_features(
        self, tried, fed
    ):
        api = tried()
        kept = self.records(api)
        (result,) = api.predict(SYMBOL).json()["results"]
        assert result["model_version"] == "7"
        assert [(record["model_version"], record["source"]) for record in kept] == [
            ("7", "online"),
            ("8", "shadow"),
        ]
        assert (
            kept[0]["features"] == kept[1]["features"]
            and kept[0]["request_id"] == kept[1]["request_id"]
        )

    def test_with_a_share_a_symbol_is_answered_by_the_same_model_always(self, tried, fed):
        symbols = [f"SYNTH:S{at}" for at in range(40)]
        for symbol in symbols:
            fed.put(symbol)
        api = tried(challenger_share=0.5)
        told = [
            [result["model_version"] for result in api.predict(*symbols).json()["results"]]
            for _ in range(2)
        ]
        assert (
            told[0]
            == told[1]
            == ["8" if zlib.crc32(symbol.encode()) < 2**31 else "7" for symbol in symbols]
        )
        assert {"7", "8"} == set(told[0])

    def test_what_the_other_one_would_have_said_is_recorded_whoever_answers(self, tried, fed):
        api = tried(challenger_share=1)
        kept = self.records(api)
        assert api.predict(SYMBOL).json()["results"][0]["model_version"] == "8"
        assert [(record["model_version"], record["source"]) for record in kept] == [
            ("8", "online"),
            ("7", "shadow"),
        ]

    def test_one_of_other_features_is_not_tried(
        self, make_api, registry_with, found, export_model, fed
    ):
        odd = export_model(seed=22, features=CORE[:-1])
        given = Answers(found, challenger=Found("tick-model", "9", str(odd.folder), odd.digest))
        api = make_api(registry=registry_with(given), challenger_share=1)
        assert api.predict(SYMBOL).json()["results"][0]["model_version"] == "7"
        assert api.app.state.service.challenger is None
