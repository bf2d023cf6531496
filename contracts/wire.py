"""The messages of topic `ticks`: one JSON object per tick, fields named as in `Tick`; heartbeats
carry time, nothing else.
"""

import orjson

from contracts.tick import SCHEMA_VERSION, Tick

# Published like a symbol: its newest event time tells how far the whole pipeline has come.
HEARTBEAT_KEY = "PLATFORM:HEARTBEAT"


def encode(tick: Tick) -> bytes:
    """The message of one tick; absent quotes are left out. (Whole batches are written by
    `streaming.replay.replay`.)
    """
    fields = {name: value for name, value in tick._asdict().items() if value is not None}
    return orjson.dumps({"schema_version": SCHEMA_VERSION, **fields})


def heartbeat(event_time_us: int) -> bytes:
    """A message that moves event time in its partition and counts nowhere."""
    return orjson.dumps(
        {"schema_version": SCHEMA_VERSION, "heartbeat": True, "event_time_us": event_time_us}
    )
