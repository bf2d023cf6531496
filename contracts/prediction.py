"""The prediction contract: the record of topic `predictions`, one for each prediction.

The fields are defined once, in `PredictionRecord`. `FIELDS` lists them with their kind, so that the
types of the Flink source and the columns of table `gold.predictions` can be derived.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import orjson


class Source(StrEnum):
    """Which features a prediction was made from, and whether it was served."""

    ONLINE = "online"  # features from the online store
    REQUEST = "request"  # features from the request
    SHADOW = "shadow"  # features from the online store; recorded, but not served


class Kind(StrEnum):
    """Type of a field. A MAP is stored as JSON text, so that a new feature needs no new column."""

    TEXT = "text"
    LONG = "long"
    REAL = "real"
    BOOLEAN = "boolean"
    MAP = "map"


def _stored(kind: Kind) -> Any:
    return field(metadata={"kind": kind, "is_stored": True})


def _sent_only(kind: Kind) -> Any:
    return field(metadata={"kind": kind, "is_stored": False})


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One prediction with the features it was made from. Times are in µs UTC.

    `event_times_us` has the event time of the row of each view, `known_at_us` the time at which
    the newest of them was written; both are None for features from the request.
    """

    request_id: str = _stored(Kind.TEXT)
    symbol: str = _stored(Kind.TEXT)
    served_at_us: int = _stored(Kind.LONG)
    source: Source = _stored(Kind.TEXT)
    model_name: str = _stored(Kind.TEXT)
    model_version: str = _stored(Kind.TEXT)
    prediction_bps: float | None = _stored(Kind.REAL)
    known_at_us: int | None = _stored(Kind.LONG)
    event_times_us: Mapping[str, int | None] | None = _stored(Kind.MAP)
    features: Mapping[str, float | None] | None = _stored(Kind.MAP)
    age_s: float | None = _sent_only(Kind.REAL)
    stale: bool | None = _sent_only(Kind.BOOLEAN)

    def to_json(self) -> bytes:
        """The message of topic `predictions`."""
        return orjson.dumps(self)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record; one that `is_stored` is a column of `gold.predictions`."""

    name: str
    kind: Kind
    is_stored: bool


FIELDS = tuple(Field(each.name, **each.metadata) for each in fields(PredictionRecord))
STORED_FIELDS = tuple(each for each in FIELDS if each.is_stored)
