"""The one place that reads the wall clock; everything else takes time as an argument."""

import time


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000
