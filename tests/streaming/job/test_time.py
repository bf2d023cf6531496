"""The live job's watermark: ticks always hold it back, the warm-up only until it ends."""

import pytest

from contracts.config.settings import Settings
from contracts.topics import TICKS, WARMUP
from streaming.job import tables


def test_no_partition_of_ticks_is_idle_unless_the_settings_say_so():
    assert "idle" not in tables.ticks_source(Settings())
    assert "'scan.watermark.idle-timeout'='20000 ms'" in tables.ticks_source(
        Settings(idle_timeout_s=20)
    )
    assert f"'topic'='{TICKS.name}'" in tables.ticks_source(Settings())


def test_the_warm_up_ends_with_what_is_there():
    ddl = tables.warmup_source(Settings(idle_timeout_s=20))
    assert "'scan.bounded.mode'='latest-offset'" in ddl and "idle" not in ddl
    assert f"'topic'='{WARMUP.name}'" in ddl
    assert "scan.bounded" not in tables.ticks_source(Settings())


@pytest.mark.parametrize(
    ("parallelism", "readers"),
    [(1, 1), (2, 2), (TICKS.partitions, TICKS.partitions), (64, TICKS.partitions)],
)
def test_no_reader_is_without_a_partition(parallelism, readers):
    settings = Settings(parallelism=parallelism, flink_slots=64)
    for ddl in (tables.ticks_source(settings), tables.warmup_source(settings)):
        assert f"'scan.parallelism'='{readers}'" in ddl


def test_the_warm_up_reaches_the_windows_and_not_silver():
    assert "FROM wire_warm" in tables.windowed_ticks().select
    assert "wire_warm" not in tables.valid_messages().select
