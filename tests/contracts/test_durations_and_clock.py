"""Lengths of time, and the clock that reads the same unit."""

import time
from datetime import UTC, datetime, timedelta

from contracts import durations
from contracts.clock import now_us
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
