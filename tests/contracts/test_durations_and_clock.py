"""Lengths of time, and the clock that reads the same unit."""

import time
from datetime import UTC, datetime, timedelta

from contracts import durations
from contracts.clock import SteadyClock, now_us, steady_us
from contracts.tick import EVENT_TIME_US_MIN
from contracts.topics import DAY_MS

MICROSECOND = timedelta(microseconds=1)


def test_lengths_are_those_of_the_standard_library():
    assert timedelta(seconds=1) // MICROSECOND == durations.SECOND_US
    assert timedelta(minutes=1) // MICROSECOND == durations.MINUTE_US
    assert timedelta(hours=1) // MICROSECOND == durations.HOUR_US
    assert timedelta(days=1) // MICROSECOND == durations.DAY_US == DAY_MS * 1000


def test_the_clock_reads_whole_microseconds_since_1970():
    before, us, after = time.time_ns(), now_us(), time.time_ns()
    assert type(us) is int
    assert before // 1000 <= us <= after // 1000


def test_the_oldest_event_time_is_a_day_of_1990():
    begin = datetime(1990, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert begin // MICROSECOND == EVENT_TIME_US_MIN


def test_a_step_of_the_wall_clock_does_not_change_the_steady_clock():
    wall, steady = [1_000_000], [50]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = wall[0] - 3_600_000_000, 57
    assert clock() == 1_000_007


def test_the_steady_clock_of_this_machine_measures_time_and_starts_at_the_wall_clock():
    clock = SteadyClock()
    first, first_steady = clock(), steady_us()
    time.sleep(0.01)
    assert clock() - first >= 10_000 and steady_us() - first_steady >= 10_000
    assert abs(first - now_us()) < 60_000_000
