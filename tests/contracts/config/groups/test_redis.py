"""Redis' settings: limits, the host of clients, and a password that is never printed."""

import pytest

from contracts.config.groups.redis import RedisSettings
from tests.contracts.config.groups import limits

LIMITS = {
    "redis_port": (1, 65_535),
    "redis_memory_mb": (16, 1_048_576),
    "online_symbols_max": (1, 1_000_000),
    "writer_batch_rows": (1, 100_000),
    "writer_poll_ms": (1, 1000),
    "writer_timeout_ms": (10, 60_000),
    "writer_retry_s_max": (0.05, 60),
    "writer_freshness_samples": (1, 1_000_000),
    "redis_connections_max": (1, 1000),
    "future_row_ms_max": (0, 3_600_000),
    "redis_timeout_ms": (1, 60_000),
    "redis_ttl_s": (60, 31_536_000),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(RedisSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(RedisSettings, name, *LIMITS[name])


def test_clients_use_the_local_redis_unless_there_is_a_host():
    assert RedisSettings(host="10.0.0.5").redis == "10.0.0.5"
    assert RedisSettings(host="10.0.0.5", redis_host="cache").redis == "cache"


@pytest.mark.parametrize("name", ["redis_host", "redis_user"])
def test_an_empty_name_is_refused(name):
    assert not limits.accepts(RedisSettings, name, "")


def test_the_password_is_not_in_the_text_of_the_settings():
    settings = RedisSettings(redis_password="hush")
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"


def test_a_read_of_the_reader_ends_before_a_write_of_the_writer():
    defaults = RedisSettings()
    assert defaults.redis_timeout_ms < defaults.writer_timeout_ms
