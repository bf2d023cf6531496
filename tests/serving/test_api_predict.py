"""/predict for every state of a symbol's features."""

import time

import numpy as np
import pytest

from contracts.features import CORE
from contracts.windows import LEVELS
from models.runtime import load_model
from serving.core.answer import trained_venues
from serving.web.schemas import PredictResponse, ProblemDocument
from tests.serving.conftest import SYMBOL

ROW = dict.fromkeys(CORE, 0.01)


def refused(response, status: int, code: str) -> dict:
    """The problem document of a refusal that is the same for all symbols."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    ProblemDocument.model_validate(problem)
    assert problem["code"] == code
    assert ("retry-after" in response.headers) == (status == 503)
    return problem


def test_fresh_features_give_a_prediction_with_its_origin(api, feeder, exported):
    event_time_us = feeder.put(age_s=1)
    response = api.predict(SYMBOL)
    assert response.status_code == 200
    answer = PredictResponse.model_validate_json(response.content)
    (result,) = answer.results
    assert result.status == "ok"
    assert result.model_name == "tick-model"
    assert result.model_version == "7"
    assert result.horizon_s == 60
    assert result.stale is False
    assert result.feature_time_us == event_time_us
    assert (
        result.feature_time
        == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(event_time_us // 10**6))
        + f".{event_time_us % 10**6:06d}Z"
    )
    assert 0 <= result.age_s < 60
    assert result.features is None
    assert result.trained_on_this_venue is True
    assert result.note is None
    expected = (
        load_model(exported.folder, exported.digest).predict(np.full((1, len(CORE)), 0.01))[0] * 1e4
    )
    assert result.prediction_bps == expected
    assert response.headers["x-request-id"] == answer.request_id


def test_features_come_with_the_answer_on_request(api, feeder):
    feeder.put(value=0.25)
    (result,) = api.predict(SYMBOL, include_features=True).json()["results"]
    assert result["features"] == dict.fromkeys(CORE, 0.25)


def test_features_given_in_the_request_are_used_without_the_store(api, redis_server, feeder):
    feeder.put(value=0.01)
    online = api.predict(SYMBOL).json()["results"][0]["prediction_bps"]
    redis_server.stall()
    try:
        body = {"rows": [{"symbol": "BINANCE:BTCUSDT", "features": ROW}], "include_features": True}
        response = api.post("/predict", json=body)
    finally:
        redis_server.resume()
    (result,) = response.json()["results"]
    assert response.status_code == 200
    assert result["prediction_bps"] == online
    assert result["features"] == ROW
    assert "age_s" not in result
    assert result["trained_on_this_venue"] is False
    assert result["note"] == "the model was trained on synthetic ticks, not on ticks of BINANCE"


def test_unknown_and_missing_names_in_given_features_are_refused_by_name(api):
    features = {**ROW, "typo_1m": 1.0, "né": 2.0}
    del features[CORE[3]]
    response = api.post(
        "/predict",
        json={
            "rows": [{"symbol": SYMBOL, "features": ROW}, {"symbol": SYMBOL, "features": features}]
        },
    )
    problem = refused(response, 422, "wrong_features")
    assert problem["unknown"] == ["?", "typo_1m"]
    assert problem["missing"] == [CORE[3]]
    assert "rows[1]" in problem["detail"]


def test_stale_features_are_answered_and_marked(api, feeder):
    feeder.put(age_s=100)
    response = api.predict(SYMBOL)
    (result,) = response.json()["results"]
    assert response.status_code == 200
    assert result["stale"] is True
    assert 100 <= result["age_s"] < 200


def test_too_old_features_are_refused(api, feeder):
    feeder.put(age_s=400)
    problem = refused(api.predict(SYMBOL), 503, "too_old")
    assert "limit of 300 s" in problem["detail"]
    assert "prediction_bps" not in problem["results"][0]


def test_one_old_view_is_enough_to_refuse(api, feeder):
    feeder.put(age_s=400, views=LEVELS[2:])
    feeder.put(age_s=1, views=LEVELS[:2])
    assert "tick_1m" in refused(api.predict(SYMBOL), 503, "too_old")["detail"]


def test_a_bar_may_be_one_cadence_older_and_still_fresh(api, feeder):
    feeder.put(age_s=100, views=LEVELS[2:])
    feeder.put(age_s=1, views=LEVELS[:2])
    assert api.predict(SYMBOL).json()["results"][0]["stale"] is False
    feeder.put("SYNTH:BBB", age_s=100, views=LEVELS[1:2])
    feeder.put("SYNTH:BBB", age_s=1, views=(LEVELS[0], LEVELS[2]))
    assert api.predict("SYNTH:BBB").json()["results"][0]["stale"] is True


def test_an_unknown_symbol_is_404(api, feeder):
    feeder.beat()
    refused(api.predict("SYNTH:NOPE"), 404, "unknown_symbol")


def test_an_empty_store_is_not_an_unknown_symbol(api, feeder):
    refused(api.predict(SYMBOL), 503, "store_empty")


def test_warming_up_names_features_and_seconds(api, feeder):
    feeder.put(warm_s=1000, log_return_1h=None, kyle_lambda_1h=None)
    response = api.predict(SYMBOL)
    problem = refused(response, 503, "missing_features")
    assert problem["results"][0]["missing"] == ["log_return_1h", "kyle_lambda_1h"]
    assert "2600 s of history are still missing" in problem["detail"]
    assert response.headers["retry-after"] == "2600"


def test_a_null_in_a_warm_window_is_refused_by_name(api, feeder):
    feeder.put(kyle_lambda_1h=None)
    problem = refused(api.predict(SYMBOL), 503, "missing_features")
    assert problem["results"][0]["missing"] == ["kyle_lambda_1h"]
    assert "the window has too few ticks" in problem["detail"]
    assert "its sums overflow 64 bits (then overflows_1h > 0)" in problem["detail"]


def test_a_view_without_a_row_is_missing(api, feeder):
    feeder.put(views=LEVELS[:2])
    problem = refused(api.predict(SYMBOL), 503, "missing_features")
    assert "no row in tick_1m within the last 24 h" in problem["detail"]


def test_a_value_beyond_single_precision_is_not_a_value(api, feeder):
    feeder.put(volume_1m=1e300)
    problem = refused(api.predict(SYMBOL), 503, "missing_features")
    assert problem["results"][0]["missing"] == ["volume_1m"]


def test_mixed_answers_are_200_with_a_status_each(api, feeder):
    feeder.put(SYMBOL)
    feeder.put("SYNTH:BBB", age_s=400)
    response = api.predict(SYMBOL, "SYNTH:NOPE", "SYNTH:BBB", SYMBOL)
    assert response.status_code == 200
    results = PredictResponse.model_validate_json(response.content).results
    assert [result.symbol for result in results] == [SYMBOL, "SYNTH:NOPE", "SYNTH:BBB", SYMBOL]
    assert [result.status for result in results] == ["ok", "unknown_symbol", "too_old", "ok"]
    assert results[0] == results[3]


def test_symbols_refused_alike_make_one_refusal(api, feeder):
    feeder.put("SYNTH:BBB", age_s=400)
    feeder.put("SYNTH:CCC", kyle_lambda_1h=None)
    response = api.predict("SYNTH:BBB", "SYNTH:CCC")
    assert [result["status"] for result in refused(response, 503, "too_old")["results"]] == [
        "too_old",
        "missing_features",
    ]


def test_every_symbol_gets_its_own_features(api, feeder):
    symbols = [f"SYNTH:S{at}" for at in range(100)]
    for at, symbol in enumerate(symbols):
        feeder.put(symbol, value=at / 100)
    results = api.predict(*symbols, include_features=True).json()["results"]
    assert [result["features"]["volume_1m"] for result in results] == [
        at / 100 for at in range(100)
    ]
    alone = [api.predict(symbol).json()["results"][0]["prediction_bps"] for symbol in symbols[::20]]
    assert [result["prediction_bps"] for result in results[::20]] == alone


def test_more_symbols_than_allowed_are_refused(api):
    refused(api.predict(*[SYMBOL] * 101), 422, "too_many_symbols")


@pytest.mark.parametrize(
    "request_id, is_kept", [("trace-1.a", True), ("with space", False), ("x" * 65, False)]
)
def test_a_plain_request_id_is_kept(api, feeder, request_id, is_kept):
    feeder.put()
    response = api.post(
        "/predict", json={"symbols": [SYMBOL]}, headers={"X-Request-ID": request_id}
    )
    assert (response.headers["x-request-id"] == request_id) is is_kept


@pytest.mark.parametrize(
    "text, venues", [("synthetic", {"SYNTH"}), ("BINANCE,CME", {"BINANCE", "CME"}), ("", set())]
)
def test_the_manifest_names_the_venues(text, venues):
    assert trained_venues(text) == venues
