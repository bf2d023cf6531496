"""Settings of the API: limits on everything a caller can send, keys that are never printed."""

import pytest

from contracts.config.groups.serving import ServingSettings
from tests.contracts.config.groups import limits
from tests.contracts.config.groups.limits import Above

LIMITS = {
    "api_port": (1, 65_535),
    "fresh_s": (Above(0), 86_400),
    "stale_s": (Above(0), 86_400),
    "pipeline_lag_s_max": (Above(0), 86_400),
    "api_otel_sample": (0, 1),
    "api_workers": (1, 64),
    "api_requests_max": (1, 100_000),
    "body_timeout_s": (Above(0), 600),
    "body_bytes_max": (1024, 16_777_216),
    "symbols_max": (1, 10_000),
    "header_bytes_max": (1024, 1_048_576),
    "headers_max": (10, 10_000),
    "header_timeout_s": (Above(0), 600),
    "api_keys_stale_s_max": (0, 86_400),
    "live_symbols_max": (1, 1000),
    "live_symbols_age_s": (0, 3600),
    "batch_bytes_max": (1024, 2**30),
    "batch_rows_max": (1, 1_000_000),
    "streams_max": (0, 10_000),
    "stream_s_max": (1, 86_400),
    "stream_poll_s": (0.05, 60),
    "requests_per_s_max": (0, 1_000_000),
    "challenger_share": (0, 1),
    "feature_read_ms_max": (1, 60_000),
    "micro_batch_symbols_max": (1, 10_000),
    "retry_after_s": (1, 3600),
    "model_retry_s": (Above(0), 3600),
    "model_watch_s": (Above(0), 3600),
    "model_refresh_s": (1, 86_400),
    "prediction_sample": (0, 1),
    "prediction_queue_max": (1, 1_000_000),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(ServingSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(ServingSettings, name, *LIMITS[name])


def test_clients_reach_the_api_at_the_host_unless_it_has_its_own():
    assert ServingSettings(host="10.0.0.5", api_port=80).api_url == "http://10.0.0.5:80"
    assert ServingSettings(api_host="api", api_port=80).api_url == "http://api:80"


def test_nothing_is_open_unless_asked_for():
    defaults = ServingSettings()
    assert defaults.api_open is False
    assert defaults.challenger_share == 0
    assert defaults.api_otel is None


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("off", False)])
def test_a_switch_is_read_from_its_usual_words(text, value):
    assert limits.read_from_environment(ServingSettings, "api_log", text) is value


def test_the_key_is_not_in_the_text_of_the_settings():
    settings = ServingSettings(api_key="hush")
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"


@pytest.mark.parametrize("collector", ["collector:4318", "grpc://collector:4317"])
def test_a_collector_is_reached_over_http(collector):
    assert not limits.accepts(ServingSettings, "api_otel", collector)
