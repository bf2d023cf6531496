"""Dates and times on the command line: always UTC."""

from collections.abc import Callable
from datetime import UTC, datetime

DAY_FORMAT = "%Y-%m-%d"
DAY_METAVAR = "YYYY-MM-DD"
FORMATS = [DAY_FORMAT, "%Y-%m-%dT%H:%M:%S"]
TIME_METAVAR = "YYYY-MM-DD[THH:MM:SS]"


def to_us(time: datetime) -> int:
    """A time of an option (naive, UTC) in µs since 1970."""
    return round(time.replace(tzinfo=UTC).timestamp() * 1_000_000)


def optional_us(time: datetime | None) -> int | None:
    """A time of an option in µs since 1970; None when it was not given."""
    return None if time is None else to_us(time)


def us_or_default(time: datetime | None, default_us: int) -> int:
    """A time of an option in µs since 1970; the default when it was not given."""
    return default_us if time is None else to_us(time)


def resolve_range(
    start: datetime | None, end: datetime | None, find_default: Callable[[], tuple[int, int]]
) -> tuple[int, int]:
    """The range of two options in µs; an end that was not given is that of `find_default()`, which
    is called only then.
    """
    if start is not None and end is not None:
        return to_us(start), to_us(end)
    first_us, last_us = find_default()
    return us_or_default(start, first_us), us_or_default(end, last_us)


def format_us(time_us: int) -> str:
    """A time in µs since 1970 as text, to the second."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_day(time_us: int) -> str:
    """The day of a time in µs since 1970 as text."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime(DAY_FORMAT)
