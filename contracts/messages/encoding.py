"""The messages of topic `ticks`: one JSON object per tick with the fields of `Tick`, or a
heartbeat.
"""

import orjson

from contracts.tick import SCHEMA_VERSION, Tick


def encode(tick: Tick) -> bytes:
    """The message of one tick, without absent quotes. `streaming.feeds.tick_frame.encode` encodes
    batches.
    """
    fields = {name: value for name, value in tick._asdict().items() if value is not None}
    return orjson.dumps({"schema_version": SCHEMA_VERSION, **fields})


def heartbeat(event_time_us: int) -> bytes:
    """A message that advances event time in its partition and counts as no tick."""
    return orjson.dumps(
        {"schema_version": SCHEMA_VERSION, "heartbeat": True, "event_time_us": event_time_us}
    )
