"""Lengths of time in µs. Times are µs, except those whose name ends in `_ms`."""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
