"""The platform's metrics on a real Redis: garbage fails no scrape, an outage has a sample."""

import asyncio

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from contracts.config.settings import Settings
from contracts.redis_keys import DRIFT_KEY, HEARTBEAT_KEY, PARITY_KEY, STATS_KEY
from feature_store.online.reader import OnlineReader
from serving.state.platform_metrics import PlatformMetrics
from tests.serving.conftest import UNREACHED


@pytest.fixture
def scrape(make_api_settings, redis_server):
    """The lines of a scrape, by metric."""

    def scrape(**fields) -> dict[str, float]:
        settings: Settings = make_api_settings(**fields)

        async def read():
            reader = OnlineReader(settings)
            metrics = PlatformMetrics(settings, lambda: reader)
            metrics._dead_letters_read_s = float("inf")  # Kafka is not a part of these tests
            try:
                return await metrics.read()
            finally:
                metrics.close()
                await reader.close()

        registry = CollectorRegistry()
        registry.register(asyncio.run(read()))
        text = generate_latest(registry).decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    return scrape


def test_a_redis_that_does_not_answer_has_a_sample(scrape):
    assert scrape(redis_port=UNREACHED) == {"tick_redis_up": 0.0}


def test_an_empty_redis_is_up_and_has_no_lag(scrape, feeder):
    figures = scrape()
    assert figures["tick_redis_up"] == 1.0 and figures["tick_redis_memory_bytes"] > 0
    assert "tick_pipeline_lag_seconds" not in figures


def test_the_rows_that_were_not_written_are_counted_by_reason(scrape, feeder):
    counts = {"damaged": 1, "over_limit": 2, "future": 3, "expired": 9, "updated_ms": 5000}
    feeder.client.hset(STATS_KEY, mapping=counts)
    figures = scrape()
    assert figures["tick_writer_damaged_rows_total"] == 1
    assert figures["tick_writer_over_limit_rows_total"] == 2
    assert figures["tick_writer_future_rows_total"] == 3
    assert figures["tick_writer_expired_rows_total"] == 9
    assert figures["tick_writer_updated_seconds"] == 5


@pytest.mark.parametrize("garbage", [b"\xff", b"", b"x" * 1000, b"1e999", b"[]", b'{"a":"b"}'])
def test_garbage_in_redis_fails_no_scrape(scrape, feeder, garbage):
    feeder.client.set(HEARTBEAT_KEY, garbage)
    feeder.client.hset(STATS_KEY, mapping={"lag": garbage, garbage: 1, "written": 7})
    feeder.client.set(DRIFT_KEY, garbage)
    text = {"unexplained": garbage.decode(errors="replace"), "taken_us": [], "values_compared": 3}
    feeder.client.set(PARITY_KEY, orjson.dumps(text))
    figures = scrape()
    assert figures["tick_writer_rows_total"] == 7
    assert figures["tick_parity_values_compared"] == 3
    assert not {"tick_pipeline_lag_seconds", "tick_parity_unexplained"} & figures.keys()


def test_keys_of_another_type_fail_no_scrape(scrape, feeder):
    for key in (HEARTBEAT_KEY, STATS_KEY, PARITY_KEY):
        feeder.client.rpush(key, 1)
    assert scrape()["tick_redis_up"] == 1.0
