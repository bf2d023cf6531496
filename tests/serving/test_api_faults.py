"""The API while a dependency is unavailable: Redis stalled or killed, no model, a broken registry,
no Kafka.
"""

from pathlib import Path

import pytest

from contracts.errors import RegistryError
from contracts.features import CORE
from contracts.redis_keys import RETIRED, model_key
from models.runtime import MODEL_FILE
from serving.state.registry_state import (
    RegistryState,
    ServedVersion,
    read_last_served,
    write_last_served,
)
from tests.serving.conftest import HASTY_MS, KEY, SYMBOL
from tests.serving.test_api_predict import refused


def checks(response) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in response.json()["checks"]}


def detail(response, name: str) -> str:
    return next(check["detail"] for check in response.json()["checks"] if check["name"] == name)


@pytest.fixture
def fed(feeder):
    feeder.put(value=0.01)
    feeder.put("SYNTH:BBB", value=0.02)
    feeder.beat()
    return feeder


def test_after_a_stalled_redis_every_answer_is_that_of_its_symbol(make_api, fed, redis_server):
    api = make_api(feature_read_ms_max=HASTY_MS, redis_timeout_ms=HASTY_MS)
    answered(api, SYMBOL)
    redis_server.stall()
    try:
        for symbols in ([SYMBOL], ["SYNTH:BBB"], [SYMBOL, "SYNTH:BBB"]):
            response = api.predict(*symbols)
            assert "does not answer" in refused(response, 503, "store_unreachable")["detail"]
            assert int(response.headers["retry-after"]) == 1
            statuses = [result["status"] for result in response.json()["results"]]
            assert statuses == ["store_unreachable"] * len(symbols)
        ready = api.get("/readyz")
        assert ready.status_code == 503
        assert checks(ready) == {"model": True, "redis": False, "pipeline": False, "job": False}
        assert api.get("/healthz").status_code == 200
    finally:
        redis_server.resume()
    # A late reply of Redis must not be taken for the reply to the next command.
    for symbol, value in ((SYMBOL, 0.01), ("SYNTH:BBB", 0.02)) * 3:
        (result,) = answered(api, symbol).json()["results"]
        assert result["features"] == dict.fromkeys(CORE, value)


def answered(api, symbol):
    """The first response with a prediction. On a busy machine Redis may miss its short timeout."""
    responses = []
    assert api.wait(
        lambda: (
            responses.append(api.predict(symbol, include_features=True))
            or responses[-1].status_code == 200
        )
    )
    return responses[-1]


def test_a_killed_redis_is_503_until_it_is_back(api, fed, redis_server):
    assert api.predict(SYMBOL).status_code == 200
    redis_server.kill()
    refused(api.predict(SYMBOL), 503, "store_unreachable")
    assert checks(api.get("/readyz"))["redis"] is False
    redis_server.start()
    fed.put()
    assert api.predict(SYMBOL).status_code == 200


def test_without_a_model_the_api_starts_and_serves_the_first_one(
    make_api, fed, production, registry_with
):
    missing = RegistryError("tick-model has no Production version", "run `tick train tick`")
    states = [missing]

    async def read_registry(*arguments):
        return await registry_with(*states)(*arguments)

    api = make_api(registry=read_registry, model_retry_s=0.01)
    assert api.get("/healthz").status_code == 200
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert checks(ready) == {"model": False, "redis": True, "pipeline": True, "job": False}
    assert detail(ready, "model") == missing.message
    problem = refused(api.predict(SYMBOL), 503, "no_model")
    assert "tick train tick" in problem["hint"]
    states[0] = production
    assert api.wait(lambda: api.get("/readyz").status_code == 200)
    assert api.predict(SYMBOL).status_code == 200


@pytest.mark.parametrize("failure", [OSError("disk"), ValueError("odd"), MemoryError()])
def test_a_broken_registry_does_not_stop_the_api(make_api, registry_with, failure):
    api = make_api(registry=registry_with(failure))
    assert type(failure).__name__ in detail(api.get("/readyz"), "model")
    assert str(failure) == "" or str(failure) not in api.get("/readyz").text


def test_after_a_restart_the_last_model_is_served_without_the_registry(
    make_api, fed, tmp_path, registry_with
):
    home = {"home": tmp_path, "model_retry_s": 0.01}
    make_api(**home)
    api = make_api(
        registry=registry_with(RegistryError("the model registry does not answer")), **home
    )
    (result,) = api.predict(SYMBOL).json()["results"]
    assert (result["status"], result["model_version"]) == ("ok", "7")
    assert api.wait(
        lambda: "(the model registry does not answer)" in detail(api.get("/readyz"), "model")
    )
    assert api.get("/readyz").status_code == 200


def test_the_registrys_model_replaces_the_last_one(
    make_api, fed, tmp_path, registry_with, production, export_model
):
    other = export_model(seed=4)
    make_api(home=tmp_path)
    newer = ServedVersion("tick-model", "8", str(other.folder), other.digest)
    api = make_api(registry=registry_with(newer), home=tmp_path)
    assert api.wait(lambda: api.predict(SYMBOL).json()["results"][0]["model_version"] == "8")
    assert read_last_served(api.app.state.service.settings) == newer
    assert 'tick_model{name="tick-model",version="8"} 1.0' in api.get("/metrics").text
    assert 'version="7"' not in api.get("/metrics").text


@pytest.mark.parametrize(
    "corrupt_file",
    [
        lambda f: f.write_bytes(f.read_bytes()[:-9]),
        lambda f: f.write_bytes(b"x" + f.read_bytes()[1:]),
        Path.unlink,
    ],
)
def test_a_corrupt_file_is_never_served(
    make_api, fed, tmp_path, registry_with, production, export_model, corrupt_file
):
    other = export_model(seed=5)
    corrupt = ServedVersion("tick-model", "9", str(other.folder), other.digest)
    corrupt_file(other.folder / MODEL_FILE)
    home = {"home": tmp_path, "model_retry_s": 0.01}
    make_api(**home)
    api = make_api(registry=registry_with(corrupt), **home)
    assert api.wait(
        lambda: (
            "(" in detail(api.get("/readyz"), "model")
            and "being read" not in detail(api.get("/readyz"), "model")
        )
    )
    assert api.predict(SYMBOL).json()["results"][0]["model_version"] == "7"
    write_last_served(api.app.state.service.settings, corrupt)
    restarted = make_api(registry=registry_with(RegistryError("unavailable")), **home)
    refused(restarted.predict(SYMBOL), 503, "no_model")


def test_an_unreadable_last_version_is_ignored(make_api_settings):
    settings = make_api_settings()
    assert read_last_served(settings) is None
    file = settings.root / "models" / "tick-model.served.json"
    file.parent.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"name": "x", "odd": 1}', "nonsense"):
        file.write_text(text)
        assert read_last_served(settings) is None


def test_a_model_of_unknown_features_is_not_served(make_api, registry_with, export_model):
    exported = export_model(
        seed=6, features=tuple(f"from_the_future_{at}" for at in range(len(CORE)))
    )
    api = make_api(
        registry=registry_with(
            ServedVersion("tick-model", "1", str(exported.folder), exported.digest)
        )
    )
    assert "unknown features: from_the_future_0" in detail(api.get("/readyz"), "model")


def test_readiness_follows_the_lag_of_the_pipeline(api, fed, redis_server):
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    fed.beat(age_s=60)
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert checks(ready) == {"model": True, "redis": True, "pipeline": False, "job": False}
    assert "of 10 s allowed" in detail(ready, "pipeline")
    fed.client.flushall()
    assert "no heartbeat" in detail(api.get("/readyz"), "pipeline")


def test_metrics_have_rate_age_model_and_drops(api, fed):
    api.predict(SYMBOL, "SYNTH:NOPE")
    fed.put("SYNTH:OLD", age_s=100)
    api.predict("SYNTH:OLD")
    api.get("/no/such/path")
    api.get("/metrics", headers={"X-API-Key": "wrong"})
    page = api.get("/metrics").text
    for line in (
        'tick_requests_total{method="POST",route="/predict",status="200"} 2.0',
        'tick_requests_total{method="GET",route="other",status="404"} 1.0',
        'tick_requests_total{method="GET",route="other",status="401"} 1.0',
        'tick_results_total{status="ok"} 2.0',
        'tick_results_total{status="unknown_symbol"} 1.0',
        "tick_results_stale_total 1.0",
        "tick_feature_age_seconds_count 2.0",
        'tick_model{name="tick-model",version="7"} 1.0',
        "tick_predictions_dropped_total 0.0",
    ):
        assert line in page, line
    assert "/no/such/path" not in page
    assert KEY not in page


def test_recording_delays_no_response_while_kafka_is_unavailable(make_api, fed):
    api = make_api(prediction_sample=1, prediction_queue_max=3)
    for _ in range(10):
        assert api.predict(SYMBOL).status_code == 200
    assert "tick_predictions_dropped_total 7.0" in api.get("/metrics").text


class Registry:
    """A registry whose state changes while the API runs."""

    def __init__(self, state) -> None:
        self.state = state
        self.reads = 0
        self.ages_s_max = []

    async def __call__(self, settings, signals=(), age_s_max=0.0):
        self.reads += 1
        self.ages_s_max.append(age_s_max)  # the interval since the last read
        if isinstance(self.state, Exception):
            raise self.state
        return self.state if isinstance(self.state, RegistryState) else RegistryState(self.state)

    def change(self, redis_client, state, signal):
        self.state = state
        redis_client.set(model_key("tick-model"), signal)


def version_of(api) -> str:
    return api.predict(SYMBOL).json()["results"][0].get("model_version", "none")


def test_a_signal_swaps_the_model_under_load(make_api, fed, production, export_model):
    registry, other = Registry(production), export_model(seed=11)
    api = make_api(registry=registry, model_watch_s=0.01)
    registry.change(
        fed.client, ServedVersion("tick-model", "8", str(other.folder), other.digest), "8@1"
    )
    answers = []
    assert api.wait(
        lambda: (
            answers.append(api.predict(SYMBOL))
            or answers[-1].json()["results"][0]["model_version"] == "8"
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    page = api.get("/metrics").text
    assert (
        'tick_model{name="tick-model",version="8"} 1.0' in page
        and "tick_model_swaps_total 2.0" in page
    )
    registry.change(fed.client, production, "7@2")
    assert api.wait(lambda: version_of(api) == "7")


def test_a_broken_new_model_keeps_the_served_one_and_is_retried(
    make_api, fed, production, export_model
):
    registry, other = Registry(production), export_model(seed=12)
    api = make_api(registry=registry, model_watch_s=0.01, model_retry_s=0.01)
    registry.change(fed.client, RegistryError("it was truncated or altered"), "8@1")
    assert api.wait(lambda: "truncated" in detail(api.get("/readyz"), "model"))
    assert version_of(api) == "7" and api.get("/readyz").status_code == 200
    registry.state = ServedVersion("tick-model", "8", str(other.folder), other.digest)
    assert api.wait(lambda: version_of(api) == "8")


def test_a_retired_model_is_not_served_even_after_a_restart(make_api, fed, production, tmp_path):
    registry = Registry(production)
    api = make_api(registry=registry, home=tmp_path, model_watch_s=0.01)
    registry.change(
        fed.client, RegistryError("tick-model has no Production version"), f"{RETIRED}@1"
    )
    assert api.wait(lambda: api.predict(SYMBOL).status_code == 503)
    assert "was retired" in refused(api.predict(SYMBOL), 503, "no_model")["detail"]
    restarted = make_api(
        registry=Registry(RegistryError("tick-model has no Production version")), home=tmp_path
    )
    refused(restarted.predict(SYMBOL), 503, "no_model")


def test_a_model_that_was_retired_while_no_api_ran_is_not_served(
    make_api, fed, production, tmp_path
):
    make_api(registry=Registry(production), home=tmp_path)
    fed.client.set(model_key("tick-model"), f"{RETIRED}@9")
    restarted = make_api(
        registry=Registry(RegistryError("tick-model has no Production version")), home=tmp_path
    )
    refused(restarted.predict(SYMBOL), 503, "no_model")


def test_versions_without_a_production_one_retire_the_served_model(
    make_api, fed, production, registry_with
):
    none = RegistryState(RegistryError("tick-model has no Production version"), retired=True)
    api = make_api(
        registry=registry_with(RegistryState(production), none),
        model_watch_s=0.01,
        model_refresh_s=1,
    )
    assert api.wait(lambda: api.predict(SYMBOL).status_code == 503)


def test_without_a_signal_the_registry_is_read_periodically(
    make_api, fed, production, export_model
):
    registry, other = Registry(production), export_model(seed=13)
    api = make_api(registry=registry, model_watch_s=0.01, model_refresh_s=1)
    registry.state = ServedVersion("tick-model", "8", str(other.folder), other.digest)
    assert version_of(api) == "7"
    assert api.wait(lambda: version_of(api) == "8")
    assert registry.reads <= 4


def test_a_failing_registry_is_read_with_backoff(make_api, fed, production):
    registry = Registry(RegistryError("the model registry does not answer"))
    api = make_api(registry=registry, model_watch_s=0.001, model_retry_s=0.25, model_refresh_s=1)
    assert api.wait(lambda: registry.reads >= 5)
    assert registry.ages_s_max[:5] == [0.25, 0.25, 0.5, 1, 1]
    registry.change(fed.client, RegistryError("the model registry does not answer"), "7@1")
    before = registry.reads
    assert api.wait(lambda: registry.reads >= before + 3)
    assert 0.25 in registry.ages_s_max[before:]  # a signal starts the backoff again
    registry.state = production
    assert api.wait(lambda: api.predict(SYMBOL).status_code == 200)


def test_a_registry_without_production_is_read_again_on_a_signal(make_api, fed, production):
    """Redis is polled dozens of times meanwhile; a read of the registry costs seconds of CPU."""
    registry = Registry(
        RegistryState(RegistryError("tick-model has no Production version"), no_production=True)
    )
    api = make_api(registry=registry, model_watch_s=0.01, model_retry_s=0.01)
    watcher = api.app.state.service.model_watcher
    read_signals = watcher._read_signals
    reads_at_poll = []

    async def counted():
        reads_at_poll.append(registry.reads)
        return await read_signals()

    watcher._read_signals = counted
    assert api.wait(lambda: len(reads_at_poll) >= 50)
    assert set(reads_at_poll) == {1}
    assert "no Production version" in detail(api.get("/readyz"), "model")
    registry.change(fed.client, production, "7@1")
    assert api.wait(lambda: api.predict(SYMBOL).status_code == 200)
    assert registry.reads == 2
