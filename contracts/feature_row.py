"""The record of topic `tick_features`: the features of one symbol and view at one row end, or a
heartbeat.
"""

from contracts.features import COLUMNS, Column, columns
from contracts.fields import Field, Kind
from contracts.windows import Level

# A heartbeat carries only the identity: how far event time has progressed.
HEARTBEAT_VIEW = "heartbeat"
HEARTBEAT_SYMBOL = "PLATFORM:HEARTBEAT"  # the `symbol` of heartbeat rows
IDENTITY = (
    Field("view", Kind.TEXT, required=True),
    Field("symbol", Kind.TEXT, required=True),  # VENUE:SYMBOL, also the key of the message
    Field("event_time_ms", Kind.LONG, required=True),  # end of the row
)
# What a row was computed from: newest ingest time of the ticks in its longest window; seconds since
# the symbol's first row, capped.
METADATA = (
    Field("known_at_us", Kind.LONG, required=True),
    Field("warm_s", Kind.LONG, required=True),
)


def features(published: tuple[Column, ...]) -> tuple[Field, ...]:
    """One optional number per published column."""
    return tuple(Field(column.name, Kind.REAL) for column in published)


def fields(level: Level) -> tuple[Field, ...]:
    """The fields of a row of one level."""
    return (*IDENTITY, *METADATA, *features(columns(level)))


# The fields of any row, in the order of the tables that hold all levels.
FIELDS = (*IDENTITY, *METADATA, *features(COLUMNS))
