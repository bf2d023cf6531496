"""The one place that reads the clocks; everything else takes time as an argument."""

import time
from collections.abc import Callable

# Linux alone counts the time of a suspended machine; elsewhere a suspension is not seen.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC by the wall clock, which may be stepped."""
    return time.time_ns() // 1000


def steady_us() -> int:
    """Microseconds since an unknown moment; a step of the wall clock does not change it."""
    return time.clock_gettime_ns(_STEADY) // 1000


class SteadyClock:
    """Wall time (µs) that a later step of the wall clock does not change.

    The wall clock is read once; from then on the time is measured by `steady`.
    """

    def __init__(
        self, wall: Callable[[], int] = now_us, steady: Callable[[], int] = steady_us
    ) -> None:
        self._steady = steady
        self._offset_us = wall() - steady()

    def __call__(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._offset_us + self._steady()
