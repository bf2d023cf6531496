"""The record of topic `predictions`: one prediction with the features that it was made from.

`PredictionRecord` defines the fields once; the types of the Flink source and the columns of table
`gold.predictions` derive from `FIELDS`. Whatever may write to the topic may write malformed
records, so readers check them.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_type_hints

import orjson

from contracts.fields import Field, Kind


class Source(StrEnum):
    """Which features a prediction was made from, and whether it was served."""

    ONLINE = "online"  # features from the online store
    REQUEST = "request"  # features from the request
    SHADOW = "shadow"  # features from the online store; recorded, but not served


class PredictionRecord(NamedTuple):
    """One prediction with the features it was made from. Times are in µs UTC.

    `event_times_us` is {view: row end}, `known_at_us` the newest ingest time of the ticks in these
    rows; both are None for features from the request. `features` is {feature: value}. Both
    maps are stored as JSON text, so that a new feature needs no new column. The last two fields
    are in the message only.
    """

    request_id: Annotated[str, Kind.TEXT]
    symbol: Annotated[str, Kind.TEXT]
    served_at_us: Annotated[int, Kind.LONG]
    source: Annotated[Source, Kind.TEXT]
    model_name: Annotated[str, Kind.TEXT]
    model_version: Annotated[str, Kind.TEXT]
    prediction_bps: Annotated[float | None, Kind.REAL]
    known_at_us: Annotated[int | None, Kind.LONG]
    event_times_us: Annotated[Mapping[str, int | None] | None, Kind.OBJECT]
    features: Annotated[Mapping[str, float | None] | None, Kind.OBJECT]
    age_s: float | None
    stale: bool | None

    def to_json(self) -> bytes:
        """The message of topic `predictions`."""
        return orjson.dumps(self._asdict())


# The stored fields, in the order of the table: those with a kind.
FIELDS = tuple(
    Field(name, hint.__metadata__[0])
    for name, hint in get_type_hints(PredictionRecord, include_extras=True).items()
    if hasattr(hint, "__metadata__")
)


def read_event_times(text: str | None) -> dict[str, int | None] | None:
    """The stored `event_times_us` as a map; None where it is malformed."""
    return _read_map(text, {int, NoneType})


def read_features(text: str | None) -> dict[str, float | None] | None:
    """The stored `features` as a map; None where it is malformed."""
    values = _read_map(text, {int, float, NoneType})
    if values is None:
        return None
    return {name: None if value is None else float(value) for name, value in values.items()}


def newest_event_time_us(text: str | None) -> int | None:
    """The latest row end in the stored `event_times_us`: the moment that was predicted from."""
    times = read_event_times(text) or {}
    return max((us for us in times.values() if us is not None), default=None)


def _read_map(text: str | None, kinds: set[type]) -> dict[str, Any] | None:
    """The JSON object in `text`; None unless each of its values has exactly one of these types."""
    try:
        parsed = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return None
    is_map = isinstance(parsed, dict) and set(map(type, parsed.values())) <= kinds
    return parsed if is_map else None
