"""Dates and times on the command line: always UTC."""

from datetime import UTC, datetime

DAY_FORMAT = "%Y-%m-%d"
FORMATS = [DAY_FORMAT, "%Y-%m-%dT%H:%M:%S"]


def to_us(time: datetime) -> int:
    """A time of an option (naive, UTC) in µs since 1970."""
    return round(time.replace(tzinfo=UTC).timestamp() * 1_000_000)


def format_us(time_us: int) -> str:
    """A time in µs since 1970 as text, to the second."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_day(time_us: int) -> str:
    """The day of a time in µs since 1970 as text."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime(DAY_FORMAT)
