"""The prediction contract: the record of topic `predictions`, one for each prediction.

The fields are defined once, in `PredictionRecord`. `FIELDS` lists them with their kind, so that the
types of the Flink source and the columns of table `gold.predictions` can be derived.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple, get_type_hints

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


NOT_STORED = "not stored"  # marks a field that is not a column of `gold.predictions`


class PredictionRecord(NamedTuple):
    """One prediction with the features it was made from. Times are in µs UTC.

    `event_times_us` has the event time of the row of each view, `known_at_us` the time at which
    the newest of them was written; both are None for features from the request.
    """

    request_id: Annotated[str, Kind.TEXT]
    symbol: Annotated[str, Kind.TEXT]
    served_at_us: Annotated[int, Kind.LONG]
    source: Annotated[Source, Kind.TEXT]
    model_name: Annotated[str, Kind.TEXT]
    model_version: Annotated[str, Kind.TEXT]
    prediction_bps: Annotated[float | None, Kind.REAL]
    known_at_us: Annotated[int | None, Kind.LONG]
    event_times_us: Annotated[Mapping[str, int | None] | None, Kind.MAP]
    features: Annotated[Mapping[str, float | None] | None, Kind.MAP]
    age_s: Annotated[float | None, Kind.REAL, NOT_STORED]
    stale: Annotated[bool | None, Kind.BOOLEAN, NOT_STORED]

    def to_json(self) -> bytes:
        """The message of topic `predictions`."""
        return orjson.dumps(self._asdict())


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record; one that `is_stored` is a column of `gold.predictions`."""

    name: str
    kind: Kind
    is_stored: bool


def _fields() -> Iterator[Field]:
    for name, annotation in get_type_hints(PredictionRecord, include_extras=True).items():
        kind, *marks = annotation.__metadata__
        yield Field(name, kind, is_stored=NOT_STORED not in marks)


FIELDS = tuple(_fields())
STORED_FIELDS = tuple(field for field in FIELDS if field.is_stored)
