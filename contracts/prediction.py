"""The record of topic `predictions`: one prediction with the features that it was made from.

A record may also carry other fields (age of the features, staleness); the lakehouse stores those
below. Whatever may write to the topic may write malformed records, so readers check them.
"""

from typing import Any

import orjson

from contracts.fields import Field, Kind

# Sources of the features. A prediction of shadow mode, which no client received, has another one.
ONLINE, REQUEST = "online", "request"

# The maps are {view: row end in µs} and {feature: value}: a new feature needs no new column.
FIELDS = (
    Field("request_id", Kind.TEXT),
    Field("symbol", Kind.TEXT),
    Field("served_at_us", Kind.LONG),
    Field("source", Kind.TEXT),
    Field("model_name", Kind.TEXT),
    Field("model_version", Kind.TEXT),
    Field("prediction_bps", Kind.REAL),
    Field("known_at_us", Kind.LONG),
    Field("event_times_us", Kind.OBJECT),
    Field("features", Kind.OBJECT),
)


def read_event_times(text: str | None) -> dict[str, int | None] | None:
    """The stored `event_times_us` as a map; None where it is malformed."""
    return _read_map(text, (int,))


def read_features(text: str | None) -> dict[str, float | None] | None:
    """The stored `features` as a map; None where it is malformed."""
    values = _read_map(text, (int, float))
    if values is None:
        return None
    return {name: None if value is None else float(value) for name, value in values.items()}


def newest_event_time_us(text: str | None) -> int | None:
    """The latest row end in the stored `event_times_us`: the moment that was predicted from."""
    times = read_event_times(text) or {}
    return max((us for us in times.values() if us is not None), default=None)


def _read_map(text: str | None, kinds: tuple[type, ...]) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return None
    is_map = isinstance(parsed, dict) and all(
        value is None or type(value) in kinds for value in parsed.values()
    )
    return parsed if is_map else None
