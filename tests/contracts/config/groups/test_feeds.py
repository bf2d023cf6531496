"""Settings of live feeds: limits, and addresses with the right scheme."""

import pytest

from contracts.config.groups.feeds import FeedSettings
from tests.contracts.config.groups import limits
from tests.contracts.config.groups.limits import Above

LIMITS = {
    "live_gap_max": (1, 1_000_000),
    "live_gap_fill_s": (Above(0), 600),
    "live_close_s": (Above(0), 60),
    "live_idle_lag_s": (Above(0), 60),
    "live_reconnect_after_s": (1, 3600),
    "live_retry_s_max": (0.05, 3600),
    "final_heartbeat_s": (0, 60),
    "position_interval_s": (Above(0), 60),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(FeedSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(FeedSettings, name, *LIMITS[name])


@pytest.mark.parametrize(
    ("name", "url", "accepted"),
    [
        ("live_url", "ws://127.0.0.1:1/stream", True),
        ("live_url", "https://stream.binance.com", False),
        ("live_url", "stream.binance.com", False),
        ("live_rest_url", "https://api.binance.com", True),
        ("live_rest_url", "wss://api.binance.com", False),
    ],
)
def test_an_address_has_the_scheme_of_its_protocol(name, url, accepted):
    assert limits.accepts(FeedSettings, name, url) is accepted


def test_gaps_are_not_filled_unless_a_rest_address_is_set():
    assert FeedSettings().live_rest_url is None
