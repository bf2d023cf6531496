"""The writer's report in Redis: counters, freshness quantiles, what other versions stored."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.redis_keys import FRESHNESS_KEY, HEARTBEAT_KEY, STATS_KEY
from feature_store.online import writer_stats
from feature_store.online.writer_stats import Counters


def test_a_writer_that_never_ran_has_zeros_and_no_quantiles(client):
    report = writer_stats.read(client)
    assert report.counters == Counters()
    assert (report.samples, report.p50_ms, report.p99_ms) == (0, None, None)


def test_a_report_comes_back_as_it_was_published(client):
    counters = Counters(messages=7, written=5, lag=2, updated_ms=9, newest_event_ms=2**53)
    writer_stats.publish(client, counters, [3], 10)
    assert writer_stats.read(client).counters == counters


def test_a_counter_of_another_version_is_ignored(client):
    writer_stats.publish(client, Counters(written=1), [], 10)
    client.hset(STATS_KEY, "of_tomorrow", "text")
    client.hdel(STATS_KEY, "lag")
    assert writer_stats.read(client).counters == Counters(written=1)


def test_only_the_newest_samples_are_kept_over_several_reports(client):
    writer_stats.publish(client, Counters(), [1, 2, 3], 4)
    writer_stats.publish(client, Counters(), [4, 5, 6], 4)
    assert [int(age) for age in client.lrange(FRESHNESS_KEY, 0, -1)] == [3, 4, 5, 6]


def test_a_report_without_samples_keeps_the_earlier_ones(client):
    writer_stats.publish(client, Counters(), [8], 4)
    writer_stats.publish(client, Counters(), [], 4)
    assert writer_stats.read(client).samples == 1


@pytest.mark.parametrize(
    ("ages", "p50", "p99"),
    [([5], 5, 5), ([9, 1], 9, 9), ([3, 1, 2], 2, 3), ([-4, 7], 7, 7), (list(range(200)), 100, 198)],
)
def test_quantiles_are_samples_in_order_of_size(client, ages, p50, p99):
    writer_stats.publish(client, Counters(), ages, 1000)
    report = writer_stats.read(client)
    assert (report.samples, report.p50_ms, report.p99_ms) == (len(ages), p50, p99)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=50))
def test_at_least_the_share_of_samples_is_at_most_the_quantile(client, ages):
    client.delete(FRESHNESS_KEY)
    writer_stats.publish(client, Counters(), ages, 1000)
    report = writer_stats.read(client)
    for share, value in ((0.5, report.p50_ms), (0.99, report.p99_ms)):
        assert value in ages
        assert sum(age <= value for age in ages) >= share * len(ages)


def test_the_time_reached_is_that_of_the_heartbeat(client, store_settings):
    assert writer_stats.processed_to_us(store_settings) == 0
    client.set(HEARTBEAT_KEY, 1_700_000_000_123)
    assert writer_stats.processed_to_us(store_settings) == 1_700_000_000_123_000


def test_the_time_reached_is_unknown_without_redis(store_settings):
    away = store_settings.model_copy(update={"redis_port": 1})
    assert writer_stats.processed_to_us(away) == 0


def test_garbage_in_the_report_is_left_out(client, store_settings):
    writer_stats.publish(client, Counters(written=1), [3], 10)
    client.hset(STATS_KEY, mapping={"lag": "soon", b"\xff": 1})
    client.rpush(FRESHNESS_KEY, "old")
    client.set(HEARTBEAT_KEY, "now")
    report = writer_stats.read(client)
    assert (report.counters, report.samples) == (Counters(written=1), 1)
    assert writer_stats.processed_to_us(store_settings) == 0
