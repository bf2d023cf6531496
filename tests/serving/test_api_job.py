"""The live job in /readyz and /metrics, which never wait for it."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.conftest import SYMBOL
from tests.support.flink_server import FlinkServer, flink_server

RUNNING = {"wire": 1.0, "wire_warm": 1.0, "wire_raw": 1.0, "served": 1.0}


@pytest.fixture
def flink() -> Iterator[FlinkServer]:
    with flink_server() as server:
        yield server


@pytest.fixture
def make(make_api, feeder, flink):
    """An API alongside that Flink, with fresh features of one symbol."""

    def started(**overrides):
        feeder.put(SYMBOL)
        feeder.beat()
        return make_api(flink_port=flink.port, **overrides)

    return started


def job_check(api) -> dict:
    return next(check for check in api.get("/readyz").json()["checks"] if check["name"] == "job")


def samples(api, name: str, label: str = "") -> dict[str, float]:
    families = text_string_to_metric_families(api.get("/metrics").text)
    matches = [sample for family in families for sample in family.samples if sample.name == name]
    return {sample.labels.get(label, ""): sample.value for sample in matches}


def test_a_finished_reader_is_a_problem_and_the_api_stays_ready(make, flink):
    flink.vertices["raw"] = {"RUNNING": 1, "FINISHED": 1}
    api = make()
    assert api.wait(lambda: "wire_raw has FINISHED" in job_check(api)["detail"])
    assert (job_check(api)["ok"], job_check(api)["required"]) == (False, False)
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert samples(api, "tick_job_reader_running", "reader") == RUNNING | {"wire_raw": 0.0}
    assert samples(api, "tick_job_running") == {"": 1.0}


def test_the_state_and_the_restarts_are_reported(make, flink):
    flink.state, flink.restarts = "RESTARTING", 30
    api = make()
    assert api.wait(lambda: "the job is RESTARTING" in job_check(api)["detail"])
    assert samples(api, "tick_job_running") == {"": 0.0}
    assert samples(api, "tick_job_restarts_total") == {"": 30.0}
    assert samples(api, "tick_flink_up") == {"": 1.0}


def test_an_unavailable_kafka_is_a_problem_and_has_no_lags(make):
    api = make()
    assert api.wait(lambda: "Kafka" in job_check(api)["detail"])
    assert samples(api, "tick_consumer_lag_messages", "group") == {}
    assert samples(api, "tick_job_problems") == {"": 1.0}


def test_a_hanging_flink_is_unknown_and_delays_no_request(make, flink):
    flink.hanging.set()
    api = make()
    assert job_check(api)["detail"] == "unknown: the live job has not been checked yet"
    assert api.predict(SYMBOL).status_code == api.get("/readyz").status_code == 200
    assert samples(api, "tick_flink_up") == {"": 0.0}
    assert samples(api, "tick_job_running") == {}
    assert api.wait(lambda: "Flink does not answer" in job_check(api)["detail"])


def test_without_flink_the_job_is_unknown(make_api, fed_store):
    api = make_api()
    assert api.wait(lambda: "unknown: Flink does not answer" in job_check(api)["detail"])
    assert api.get("/readyz").status_code == 200


@pytest.fixture
def fed_store(feeder):
    feeder.put(SYMBOL)
    feeder.beat()
