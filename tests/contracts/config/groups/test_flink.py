"""Flink's settings: limits, and the address of its REST interface."""

import pytest

from contracts.config.groups.flink import FlinkSettings
from contracts.windows import WARM_CAP_S
from tests.contracts.config.groups import limits

LIMITS = {
    "flink_port": (1, 65_533),  # RPC and blob server take the next two
    "flink_jobmanager_mb": (704, 65_536),
    "flink_taskmanager_mb": (1024, 1_048_576),
    "flink_slots": (1, 128),
    "submit_timeout_s": (10, 3600),
    "parallelism": (1, 128),
    "backfill_parallelism": (1, 128),
    "checkpoint_interval_s": (0.5, 600),
    "restarts_max": (1, 10_000),
    "restart_reset_s": (10, 86_400),
    "lateness_ms": (0, 60_000),
    "idle_timeout_s": (0, 3600),
    "heartbeat_interval_s": (0.01, 5),
    "warmup_s": (WARM_CAP_S, 86_400),
    "upgrade_stretch_s": (1, 3600),
    "upgrade_timeout_s": (10, 7200),
    "client_timeout_s": (5, 3600),
    "backfill_timeout_s": (10, 86_400),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(FlinkSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(FlinkSettings, name, *LIMITS[name])


def test_the_rest_interface_is_at_the_hosts_port_unless_flink_has_a_host():
    assert FlinkSettings(host="10.0.0.5", flink_port=8081).flink_url == "http://10.0.0.5:8081"
    settings = FlinkSettings(host="10.0.0.5", flink_host="jobmanager")
    assert settings.flink == "jobmanager"
    assert settings.flink_url == "http://jobmanager:7211"


def test_heartbeats_are_frequent_enough_for_the_lateness_by_default():
    """A partition must not hold the watermark back for much longer than ticks may be late."""
    defaults = FlinkSettings()
    assert defaults.heartbeat_interval_s * 1000 <= 2 * defaults.lateness_ms
